package domain

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/handler"
)

func TestSubscriptionsHaveTheirSettingsWithThePlaceThatDecidedThem(t *testing.T) {
	t.Parallel()
	d := open(t, streams+`
[server.subscriptions.Mails]
messages_per_tick = 7
`, &fakes{})
	require.NoError(t, d.Register(
		handler.Events("shop.orders.Mails", "shop::order", on("A")...),
		handler.Events("shop.Old", "shop::order", on("A")...).With(handler.Options{Type: "event_store"}),
		handler.Subscriber("shop.Legacy", "legacy", nothing),
	))
	all, err := d.Subscriptions()
	require.ErrorContains(t, err, "handler shop.Old would read the event store")
	require.Len(t, all, 2, "what can run is listed beside the error")
	require.Equal(t, "shop.orders.Mails shop.orders.Mails shop::order stream",
		all[0].Handler+" "+all[0].Group+" "+all[0].Stream+" "+all[0].Type)
	require.Contains(t, all[0].Settings, config.Setting{Key: "messages_per_tick", Value: "7", Origin: "[server.subscriptions.Mails]"})
	require.Contains(t, all[0].Settings, config.Setting{Key: "subscription_type", Value: "stream", Origin: "[server]"})
	require.Equal(t, "broker", all[1].Type)
}

func TestAnEngineGetsTheBoundsOfTheFile(t *testing.T) {
	t.Parallel()
	d := open(t, streams+`
[observatory]
max_inflight_bytes = 2097152
[server.subscriptions.Mails]
claim_idle_seconds = 1.5
`, &fakes{})
	require.NoError(t, d.Register(
		handler.Events("shop.Mails", "shop::order", on("A")...),
		handler.Events("shop.Other", "shop::order", on("A")...),
	))
	c, err := d.Config()
	require.NoError(t, err)
	require.EqualValues(t, 2<<20, c.MaxInflightBytes)
	require.Equal(t, 1500*time.Millisecond, c.Subscriptions[0].ClaimIdle)
	require.Equal(t, time.Minute, c.Subscriptions[1].ClaimIdle)

	c, err = open(t, "", &fakes{}).Config()
	require.NoError(t, err)
	require.EqualValues(t, 256<<20, c.MaxInflightBytes)
}

func TestDifferentRetentionsOfOneStreamAreAWarningAndTheLargestIsNot(t *testing.T) {
	t.Parallel()
	d := open(t, streams+`
[server.stream_subscription]
retention_maxlen = 100
[server.subscriptions.Mails]
retention_maxlen = 5000
[server.subscriptions.Bills]
retention_maxlen = 300
[observatory.handlers.Audit]
stream = "shop::order"
deliver = "log:"
[observatory.handlers.Store]
stream = "shop::order"
deliver = "log:"
retention_maxlen = 200
[observatory.handlers.Alone]
stream = "shop::payment"
deliver = "log:"
retention_maxlen = 7
`, &fakes{})
	texts := func(warnings []config.Warning) (all []string) {
		for _, w := range warnings {
			if w.Code == config.CodeNoEffect {
				all = append(all, w.String())
			}
		}
		return all
	}
	require.Equal(t, []string{
		`[server.stream_subscription] retention_maxlen: 100 of handler Audit is not used: handler Store keeps 200 entries of the same stream "shop::order"`,
	}, texts(d.Warnings()), "of the file's handlers, which check shows")

	require.NoError(t, d.Register(
		handler.Events("shop.Mails", "shop::order", on("A")...),
		handler.Events("shop.Bills", "shop::order", on("A")...),
		handler.Subscriber("shop.Legacy", "legacy", nothing).With(handler.Options{Settings: map[string]any{"retention_maxlen": 9}}),
	))
	all, err := d.Subscriptions()
	require.NoError(t, err)
	require.Equal(t, []string{
		`[server.stream_subscription] retention_maxlen: 100 of handler Audit is not used: handler shop.Mails keeps 5000 entries of the same stream "shop::order"`,
		`[observatory.handlers.Store] retention_maxlen: 200 of handler Store is not used: handler shop.Mails keeps 5000 entries of the same stream "shop::order"`,
		`[server.subscriptions.Bills] retention_maxlen: 300 of handler shop.Bills is not used: handler shop.Mails keeps 5000 entries of the same stream "shop::order"`,
	}, texts(differentRetentions(all)))

	c, err := d.Config()
	require.NoError(t, err)
	for _, s := range c.Subscriptions[1:] {
		require.Same(t, c.Subscriptions[0].Source, s.Source, "one source for all, which knows the groups of all")
	}
}

func TestAHandlerMayReadAnotherBroker(t *testing.T) {
	t.Parallel()
	fake := &fakes{}
	d := open(t, streams+`
[brokers.partner]
provider = "redis"
URI = "redis://partner.example:6379/0"
[observatory.handlers.Audit]
stream = "payments"
broker = "partner"
format = "object"
deliver = "log:"
`, fake)
	require.NoError(t, d.Register(
		handler.Events("shop.Mails", "shop::order", on("A")...),
		handler.Subscriber("shop.Payments", "payments", nothing).With(handler.Options{Broker: "partner"}),
	))
	all, err := d.Subscriptions()
	require.NoError(t, err)
	var brokers []string
	for _, s := range all {
		brokers = append(brokers, s.Handler+" "+s.Broker)
	}
	require.Equal(t, []string{"Audit partner", "shop.Mails default", "shop.Payments partner"}, brokers)
	c, err := d.Config()
	require.NoError(t, err)
	require.Same(t, c.Subscriptions[2].Source, c.Subscriptions[0].Source)
	require.NotSame(t, c.Subscriptions[1].Source, c.Subscriptions[0].Source)
	ofStreams, _ := d.watched("shop")
	require.Len(t, ofStreams["partner"], 2)
	require.Len(t, ofStreams["default"], 1)

	require.ErrorContains(t, d.Register(handler.Subscriber("shop.Twice", "payments", nothing)),
		`reads stream "payments" of broker "default", as handler "Audit" does of broker "partner": their figures would be one`)
	require.NoError(t, d.Register(handler.Subscriber("shop.Lost", "refunds", nothing).With(handler.Options{Broker: "partnr"})))
	_, err = d.Config()
	require.ErrorContains(t, err, `handler shop.Lost reads the broker "partnr", which the file does not have: expected one of default, partner`)
}

func TestPriorityLanesGiveEachStreamOfEventsAndCommandsABackfillLane(t *testing.T) {
	t.Parallel()
	const file = streams + `
[observatory.handlers.Mailer]
stream = "shop::order"
deliver = "log:"
[observatory.handlers.Foreign]
stream = "legacy"
deliver = "log:"
format = "fields"
[server.priority_lanes]
enabled = true
backfill_suffix = "slow"
`
	d := open(t, file, &fakes{})
	require.NoError(t, d.Register(
		handler.Commands("shop.Place", "shop::order", on("Place")...),
		handler.Projector("shop.Report", []string{"shop::order", "shop::order:slow"}, on("A")...),
		handler.Subscriber("shop.Legacy", "legacy", nothing),
	))
	c, err := d.Config()
	require.NoError(t, err)
	const dispatcher = "protean.server.engine.Commands:shop::order:command"
	var got []string
	for _, s := range c.Subscriptions {
		got = append(got, s.Handler+" "+s.Stream+" "+s.BackfillOf)
	}
	require.ElementsMatch(t, []string{
		"Mailer shop::order ", "Mailer shop::order:slow shop::order",
		"Foreign legacy ",
		dispatcher + " shop::order:command ", dispatcher + " shop::order:command:slow shop::order:command",
		"shop.Report shop::order ", "shop.Report shop::order:slow ",
		"shop.Legacy legacy ",
	}, got)
	watched, _ := d.watched("shop")
	require.True(t, slices.ContainsFunc(watched["default"], func(w collector.Watch) bool { return w.Handler == "Mailer" && w.Stream == "shop::order:slow" }),
		"a lane is a stream of its own in every figure")
}
