package domain

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
)

const streams = "server.default_subscription_type = \"stream\"\n"

func on(types ...string) []handler.Route {
	var routes []handler.Route
	for _, typ := range types {
		routes = append(routes, handler.Route{Type: typ, Func: nothing})
	}
	return routes
}

func TestEachHandlerAndStreamIsASubscription(t *testing.T) {
	t.Parallel()
	d := open(t, streams+`
[observatory]
verify_checksums = false
shutdown_timeout_seconds = 3
[server.subscriptions.Mails]
start = "end"
order = "none"
concurrency = 8
tick_interval = 0.5
retry_delay_seconds = 0.25
retry_backoff_multiplier = 2
retry_max_delay_seconds = 30
retry_jitter = 0.1
origin_stream = "shop::payment"
enable_dlq = false
[server.health]
enabled = false
`, &fakes{})
	require.NoError(t, d.Register(
		handler.Events("shop.orders.Mails", "shop::order", on("A")...),
		handler.Projector("shop.Report", []string{"shop::order", "shop::payment"}, on("A")...).With(handler.Options{Group: "reports"}),
		handler.Subscriber("shop.Legacy", "legacy", nothing).WithFields(),
	))
	c, err := d.Config()
	require.NoError(t, err)
	require.Equal(t, "shop", c.Domain)
	require.Equal(t, 3*time.Second, c.ShutdownTimeout)
	require.True(t, c.Health.Disabled)

	require.Equal(t, []string{
		"shop.orders.Mails shop::order shop.orders.Mails",
		"shop.Report shop::order reports",
		"shop.Report shop::payment reports",
		"shop.Legacy legacy shop.Legacy",
	}, summary(c))
	require.Equal(t, handler.FormatFields, c.Subscriptions[3].Format)

	mails := c.Subscriptions[0].Config
	require.True(t, mails.FromEnd)
	require.True(t, mails.SkipChecksums)
	require.False(t, mails.DeadLetters)
	require.Equal(t, "none", mails.Order)
	require.Equal(t, 8, mails.Concurrency)
	require.Equal(t, 500*time.Millisecond, mails.TickInterval)
	require.Equal(t, 5*time.Second, mails.BlockingTimeout)
	require.Equal(t, "shop::payment", mails.OriginStream)
	require.Equal(t, 3, mails.Retry.MaxAttempts)
	require.Equal(t, 250*time.Millisecond, mails.Retry.Delay)
	require.InDelta(t, 2, mails.Retry.Multiplier, 0)
	require.Equal(t, 30*time.Second, mails.Retry.MaxDelay)
	require.InDelta(t, 0.1, mails.Retry.Jitter, 0)
	for _, s := range c.Subscriptions {
		require.NoError(t, s.Validate())
	}
}

func summary(c engine.Config) []string {
	var all []string
	for _, s := range c.Subscriptions {
		all = append(all, s.Handler+" "+s.Stream+" "+s.Group)
	}
	return all
}

func TestCommandHandlersOfACategoryShareOneDispatcher(t *testing.T) {
	t.Parallel()
	var handled []string
	say := func(who string) handler.Func {
		return func(context.Context, *message.Envelope) error { handled = append(handled, who); return nil }
	}
	d := open(t, streams+"[server.subscriptions.Place]\nmessages_per_tick = 7\n", &fakes{})
	require.NoError(t, d.Register(
		handler.Commands("shop.orders.Place", "shop::order", handler.Route{Type: "Place", Func: say("place")}),
		handler.Commands("shop.payments.Pay", "shop::payment", on("Pay")...),
		handler.Commands("shop.orders.Cancel", "shop::order", handler.Route{Type: "Cancel", Func: say("cancel")}),
	))
	c, err := d.Config()
	require.NoError(t, err)
	const dispatcher = "protean.server.engine.Commands:shop::order:command"
	require.Equal(t, []string{
		dispatcher + " shop::order:command " + dispatcher,
		"protean.server.engine.Commands:shop::payment:command shop::payment:command protean.server.engine.Commands:shop::payment:command",
	}, summary(c))
	require.Equal(t, "Commands:shop::order:command", subscription.ShortName(c.Subscriptions[0].Handler))
	require.Equal(t, 7, c.Subscriptions[0].MessagesPerTick, "the section of a command handler takes effect")

	fn := c.Subscriptions[0].Func
	for _, typ := range []string{"Cancel", "Place"} {
		require.NoError(t, fn(t.Context(), &message.Envelope{Metadata: message.Metadata{Headers: message.Headers{Type: typ}}}))
	}
	require.Equal(t, []string{"cancel", "place"}, handled)
	outcome, _ := handler.OutcomeOf(fn(t.Context(), &message.Envelope{}))
	require.Equal(t, handler.Rejected, outcome, "a command that has no handler is dead-lettered")
}

func TestASectionOfACommandHandlerThatHasNoEffectIsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := parse(t, streams+"[server.subscriptions.Cancel]\nmax_retries = 9\n")
	d, err := Open(t.Context(), c, (&fakes{}).adapters(), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	require.NoError(t, err)
	require.NoError(t, d.Register(
		handler.Commands("shop.Place", "shop::order", on("Place")...),
		handler.Commands("shop.Cancel", "shop::order", on("Cancel")...),
	))
	_, err = d.Config()
	require.NoError(t, err)
	require.Contains(t, log.String(), `section=server.subscriptions.Cancel use="server.subscriptions.\"Commands:shop::order:command\""`)
}

func TestRegistrationsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	first := []handler.Registration{
		handler.Events("shop.First", "shop::order", on("A")...),
		handler.Commands("shop.Place", "shop::order", on("Place", "")...),
	}
	tests := map[string]struct {
		add  handler.Registration
		want string
	}{
		"no name":             {handler.Events("", "s", on("A")...), "expected a name without spaces"},
		"no kind":             {handler.Registration{Name: "x", Streams: []string{"s"}, Routes: on("A")}, "Kind is not set"},
		"no stream":           {handler.Projector("x", nil, on("A")...), "no stream"},
		"stream twice":        {handler.Projector("x", []string{"s", "s"}, on("A")...), `stream "s" is named twice`},
		"empty stream":        {handler.Events("x", "", on("A")...), "got an empty one"},
		"stream with spaces":  {handler.Events("x", "a b", on("A")...), `stream "a b": expected the name of a stream without spaces`},
		"dead letters":        {handler.Events("x", "s:dlq", on("A")...), "not a dead-letter queue"},
		"command stream":      {handler.Commands("x", "s:command", on("A")...), "expected it without :command"},
		"no route":            {handler.Events("x", "s"), "no route"},
		"route without func":  {handler.Events("x", "s", handler.Route{Type: "A"}), `the route of type "A" has no function`},
		"name twice":          {handler.Events("shop.First", "other", on("A")...), `handler "shop.First": registered twice`},
		"group twice":         {handler.Events("x", "shop::order", on("A")...).With(handler.Options{Group: "shop.First"}), `has group "shop.First" on stream "shop::order", as handler "shop.First" has`},
		"command twice":       {handler.Commands("x", "shop::order", on("Place")...), `handles type "Place" of "shop::order", as handler "shop.Place" does`},
		"every command twice": {handler.Commands("x", "shop::order", handler.Any(nothing)), `handles every type of "shop::order"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t, streams, &fakes{})
			require.NoError(t, d.Register(first...))
			require.ErrorContains(t, d.Register(handler.Events("fine", "s", on("A")...), test.add), test.want)
			c, err := d.Config()
			require.NoError(t, err)
			require.Len(t, c.Subscriptions, 2, "nothing of a call that failed is registered")
		})
	}
}

func TestAllHandlersThatCannotRunAreReported(t *testing.T) {
	t.Parallel()
	d := open(t, "", &fakes{})
	require.NoError(t, d.Register(
		handler.Events("shop.A", "shop::order", on("A")...),
		handler.Commands("shop.B", "shop::order", on("B")...),
		handler.Subscriber("shop.C", "legacy", nothing),
	))
	c, err := d.Config()
	require.ErrorContains(t, err, "handler shop.A would read the event store")
	require.ErrorContains(t, err, `[server.subscriptions."Commands:shop::order:command"] subscription_type = "stream"`)
	require.Equal(t, []string{"shop.C legacy shop.C"}, summary(c))
}

func TestADomainIsNamedByItsFileItsStreamsOrItsFolder(t *testing.T) {
	t.Parallel()
	registered := []handler.Registration{
		handler.Events("A", "billing::invoice", on("A")...),
		handler.Events("B", "shop::order", on("A")...),
		handler.Events("C", "shop::payment", on("A")...),
	}
	for name, test := range map[string]struct {
		file string
		add  []handler.Registration
		want string
	}{
		"the file says":   {`observatory.name = "golden shop"`, registered, "golden shop"},
		"most streams":    {"", registered, "shop"},
		"first of a draw": {"", registered[:2], "billing"},
		"file's handlers": {`observatory.handlers.H = {stream = "mail::out", deliver = "log:"}`, registered, "mail"},
		"the folder":      {"", nil, "shop"},
	} {
		d := open(t, test.file, &fakes{})
		require.NoError(t, d.Register(test.add...))
		require.Equal(t, test.want, d.Name(), name)
	}
	nowhere, err := config.Parse("", nil)
	require.NoError(t, err)
	d, err := Open(t.Context(), nowhere, (&fakes{}).adapters(), quiet())
	require.NoError(t, err)
	require.Equal(t, "domain", d.Name())
}

func TestACollectorReadsWhatIsOpen(t *testing.T) {
	t.Parallel()
	d := open(t, servers, &fakes{})
	require.NoError(t, d.Register(
		handler.Commands("shop.Place", "shop::order", on("Place")...),
		handler.Subscriber("shop.Legacy", "legacy", nothing),
	))
	const dispatcher = "protean.server.engine.Commands:shop::order:command"
	require.Equal(t, []collector.Source{
		fakeSource{name: "broker:default", domain: "shop", watched: []collector.Watch{
			{Domain: "shop", Handler: "Mailer", Group: "Mailer", Stream: "shop::order", Type: "stream"},
			{Domain: "shop", Handler: "Commands:shop::order:command", Group: dispatcher, Stream: "shop::order:command", Type: "stream"},
			{Domain: "shop", Handler: "Legacy", Group: "shop.Legacy", Stream: "legacy", Type: "broker"},
		}},
		fakeSource{name: "broker:partner", domain: "shop"},
		fakeSource{name: "database:default", domain: "shop"},
	}, d.Sources())
}

func TestAFileHandlerOfCommandsDeadLettersWhatItDoesNotHandle(t *testing.T) {
	t.Parallel()
	d := open(t, `observatory.handlers.H = {stream = "shop::order:command", types = ["Place"], deliver = "log:"}`, &fakes{})
	c, err := d.Config()
	require.NoError(t, err)
	err = c.Subscriptions[0].Func(t.Context(), &message.Envelope{Metadata: message.Metadata{Headers: message.Headers{Type: "Other"}}})
	outcome, _ := handler.OutcomeOf(err)
	require.Equal(t, handler.Rejected, outcome)
}

// Who reads a backfill lane in the group of another handler gets half of its messages,
// and those of no type of its own are lost.
func TestABackfillLaneHasOneReaderInAGroup(t *testing.T) {
	t.Parallel()
	const file = `
brokers.default = {provider = "redis", URI = "redis://h/0"}
brokers.b = {provider = "redis", URI = "redis://h/1"}
server.priority_lanes.enabled = true
observatory.handlers.M = {stream = "s::e", deliver = "log:"}
`
	for lane, want := range map[string]string{
		`{stream = "s::e:backfill", group = "M", deliver = "log:"}`:  `has group "M" on stream "s::e:backfill", as handler "M" has: each would get half of the entries; one of them reads it as a backfill lane`,
		`{stream = "s::e:backfill", broker = "b", deliver = "log:"}`: `reads stream "s::e:backfill" of broker "b", as handler "M" does of broker "default": their figures would be one, rename one of the streams; one of them reads it as a backfill lane`,
	} {
		for _, name := range []string{"A", "N"} { // before and after the other
			_, err := Open(t.Context(), parse(t, file+"observatory.handlers."+name+" = "+lane), (&fakes{}).adapters(), quiet())
			if name == "N" {
				require.ErrorContains(t, err, want)
			} else {
				require.ErrorContains(t, err, "one of them reads it as a backfill lane")
			}
		}
	}
	open(t, file+`observatory.handlers.N = {stream = "s::e:backfill", deliver = "log:"}`, &fakes{})
}
