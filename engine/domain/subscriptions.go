package domain

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// streamBroker is the broker whose streams handlers read.
const streamBroker = "default"

// Config returns what an engine runs: a subscription for each handler and
// stream, one for all commands of a category. Every handler whose settings
// cannot work, or that needs what is not open, is in the error.
func (d *Domain) Config() (engine.Config, error) {
	c := engine.Config{
		Domain: d.Name(), ShutdownTimeout: d.config.Observatory.ShutdownTimeout, Logger: d.log,
		Health: engine.HealthConfig{
			Disabled: !d.config.Health.Enabled,
			Address:  net.JoinHostPort(d.config.Health.Host, strconv.Itoa(d.config.Health.Port)),
			Checks:   d.checks(),
		},
	}
	d.warnSections()
	var errs []error
	for _, r := range d.runnable() {
		subs, err := d.subscriptions(r)
		errs = append(errs, err)
		c.Subscriptions = append(c.Subscriptions, subs...)
	}
	return c, errors.Join(errs...)
}

// runnable are the registrations as they run: the command handlers of a
// category as one, where the first of them stood.
func (d *Domain) runnable() []handler.Registration {
	var all []handler.Registration
	for _, r := range d.handlers {
		i := slices.IndexFunc(all, func(o handler.Registration) bool {
			return r.Kind == handler.KindCommand && o.Kind == handler.KindCommand && slices.Equal(o.Streams, r.Streams)
		})
		if i < 0 {
			all = append(all, r)
			continue
		}
		all[i].Routes = slices.Concat(all[i].Routes, r.Routes)
	}
	return all
}

// warnSections says which sections of command handlers have no effect, since
// their dispatcher has its settings from elsewhere.
func (d *Domain) warnSections() {
	running := d.runnable()
	for _, r := range d.handlers {
		short := subscription.ShortName(r.Name)
		_, has := d.config.server.subscriptions[short]
		first := slices.ContainsFunc(running, func(o handler.Registration) bool { return o.Name == r.Name })
		if has && r.Kind == handler.KindCommand && !first {
			d.log.Warn("section has no effect: another command handler of the category comes first", "component", "domain",
				"section", "server.subscriptions."+short, "use", section{name: "server.subscriptions"}.path(subscription.ShortName(runningName(r))))
		}
	}
}

// subscriptions are those of one runnable registration.
func (d *Domain) subscriptions(r handler.Registration) ([]engine.Subscription, error) {
	set, err := d.config.Resolve(r)
	if err != nil {
		return nil, err
	}
	if *set.Type == subscription.TypeEventStore {
		return nil, d.notStream(r)
	}
	source := d.brokers[streamBroker]
	if source == nil {
		return nil, d.noBroker(r)
	}
	var subs []engine.Subscription
	for _, stream := range streamsOf(r) {
		c := subscriptionConfig(set)
		c.Domain, c.Handler, c.Group, c.Stream, c.Format = d.Name(), runningName(r), groupOf(r), stream, r.Format
		c.SkipChecksums = !d.config.Observatory.VerifyChecksums
		subs = append(subs, engine.Subscription{Config: c, Func: handler.Dispatch(dispatchKind(r), r.Routes), Source: consumergroup.Over(source)})
	}
	return subs, nil
}

// subscriptionConfig is what a subscription of a stream makes of its settings.
func subscriptionConfig(s subscription.Settings) subscription.Config {
	return subscription.Config{
		MessagesPerTick: *s.MessagesPerTick,
		TickInterval:    *s.TickInterval,
		BlockingTimeout: *s.BlockingTimeout,
		Retry: retry.Policy{
			MaxAttempts: *s.MaxRetries, Delay: *s.RetryDelay,
			Multiplier: *s.RetryMultiplier, MaxDelay: *s.RetryMaxDelay, Jitter: *s.RetryJitter,
		},
		DeadLetters:    *s.EnableDLQ,
		OriginStream:   or(s.OriginStream, ""),
		Order:          *s.Order,
		Concurrency:    *s.Concurrency,
		HandlerTimeout: *s.HandlerTimeout,
		FromEnd:        *s.StartAtEnd,
	}
}

// runningName is the name that a handler runs under.
func runningName(r handler.Registration) string {
	if r.Kind == handler.KindCommand {
		return dispatcherName(r.Streams[0])
	}
	return r.Name
}

// dispatchKind treats a handler of the file that reads a stream of commands as
// a command handler: nobody else will handle what it does not.
func dispatchKind(r handler.Registration) handler.Kind {
	if r.Kind == handler.KindEvent && strings.HasSuffix(r.Streams[0], message.CommandSuffix) {
		return handler.KindCommand
	}
	return r.Kind
}

func (d *Domain) notStream(r handler.Registration) error {
	return fmt.Errorf(`%s: handler %s would read the event store, which this release does not: set [server] default_subscription_type = "stream", or [server.subscriptions.%s] subscription_type = "stream"`,
		d.config.Path, r.Name, section{}.path(subscription.ShortName(runningName(r))))
}

func (d *Domain) noBroker(r handler.Registration) error {
	return fmt.Errorf("%s: handler %s reads the broker %q, whose provider %q this program has no adapter for: set [brokers.%s] provider to one that it has",
		d.config.Path, r.Name, streamBroker, d.config.Brokers[streamBroker].Provider, streamBroker)
}
