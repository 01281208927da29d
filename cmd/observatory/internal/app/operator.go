package app

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/domain"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/lifecycle"
	"github.com/observatory-go/observatory/engine/operate"
)

// Operator is the operator's side of a configuration that this process does not
// run.
type Operator struct {
	*operate.Operator
	// Configuration is the one that was taken.
	Configuration Configuration
	// InMemory is true where the broker is in the memory of the process that
	// serves the configuration, and no handler reads an event store. There is no
	// server to read: all figures are unknown.
	InMemory bool
	// DeadLetters are those of the brokers that are servers.
	DeadLetters *operate.DeadLetters

	closers lifecycle.Closers
}

// OpenOperator opens the configuration for a command. No server is contacted
// before its first method is called. The caller closes it.
func OpenOperator(ctx context.Context, o Options) (*Operator, error) {
	taken, err := LoadConfiguration(o)
	if err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler) // what could not be read is in the list
	d, err := taken.Open(ctx, quiet)
	if err != nil {
		return nil, err
	}
	elsewhere := func(h config.Handler) bool {
		return h.Type == config.TypeEventStore || taken.Brokers[cmp.Or(h.Broker, "default")].Provider != inMemory
	}
	opened := &Operator{
		Configuration: taken,
		InMemory:      taken.Brokers["default"].Provider == inMemory && !slices.ContainsFunc(taken.Handlers, elsewhere),
	}
	opened.closers.Add("domain", d.Close)
	var figures operate.Figures
	if !opened.InMemory {
		// Databases hold nothing of a stream's subscription.
		sources := slices.DeleteFunc(d.SubscriptionSources(), func(s collector.Source) bool {
			name, isBroker := strings.CutPrefix(s.Name(), "broker:")
			return isBroker && taken.Brokers[name].Provider == inMemory
		})
		c := collector.New(collector.Config{Sources: sources, Logger: quiet})
		opened.closers.Add("collector", c.Close)
		figures = c
	}
	subscriptions := func() ([]operate.Subscription, error) { return catalog(d, taken.Config) }
	opened.DeadLetters = operate.NewDeadLetters(subscriptions, deadLetterQueues(d, taken.Config), whoRuns(), newLogger(o, taken.Logging))
	opened.Operator = operate.New(subscriptions, figures)
	return opened, nil
}

// whoRuns is the user of the system who runs this process, and the host's name.
func whoRuns() string {
	name, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}

// Close closes what was opened, within a few seconds.
func (o *Operator) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return o.closers.Close(ctx)
}

// delivery is where a handler of the file delivers to, and what: no header's
// value is in it. Of others there is nothing.
func delivery(file *config.Config, name string) []operate.Setting {
	i := slices.IndexFunc(file.Handlers, func(h config.Handler) bool { return h.Name == name })
	if i < 0 {
		return nil
	}
	h := file.Handlers[i]
	origin := "[" + config.Section("observatory.handlers", h.Name) + "]"
	settings := []operate.Setting{
		{Key: "deliver", Value: h.TargetName, Origin: origin},
		{Key: "types", Value: "all", Origin: "default"},
		{Key: "format", Value: h.FormatName(), Origin: origin},
		{Key: "headers", Value: "none", Origin: "default"},
	}
	if len(h.Types) > 0 {
		settings[1].Value, settings[1].Origin = strings.Join(h.Types, ", "), origin
	}
	if h.Format == handler.FormatEnvelope {
		settings[2].Origin = "default"
	}
	if len(h.HeaderNames) > 0 {
		settings[3].Value, settings[3].Origin = strings.Join(h.HeaderNames, ", "), origin
	}
	return settings
}

// deadLetterQueues are those of each open broker that is a server and has them.
func deadLetterQueues(d *domain.Domain, file *config.Config) map[string]deadletter.Queue {
	all := map[string]deadletter.Queue{}
	for name, settings := range file.Brokers {
		if b := d.Broker(name); b != nil && settings.Provider != inMemory && b.Capabilities().Has(broker.DeadLetters) {
			all[name] = b
		}
	}
	return all
}

// catalog lists what an engine of the domain would run.
func catalog(d *domain.Domain, file *config.Config) ([]operate.Subscription, error) {
	subscriptions, err := d.Subscriptions()
	var all []operate.Subscription
	for _, s := range subscriptions {
		entry := operate.Subscription{Handler: s.Handler, Stream: s.Stream, Group: s.Group, Type: s.Type, Broker: s.Broker, Settings: delivery(file, s.Handler)}
		// What is in the memory of this process no other reads.
		if s.Type == string(config.TypeEventStore) || file.Brokers[s.Broker].Provider != inMemory {
			entry.Pauses, _ = d.Pauses(s).(operate.Pauses)
		}
		for _, setting := range s.Settings {
			entry.Settings = append(entry.Settings, operate.Setting(setting))
		}
		all = append(all, entry)
	}
	return all, err
}
