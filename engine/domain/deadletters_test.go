package domain

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
)

const dlqFile = `
[brokers.default]
provider = "redis"
URI = "redis://h"
[server.dlq]
enabled = true
alert_threshold = 50
alert_callback = "shop.notify"
[observatory.handlers.A]
stream = "s"
deliver = "log:"
dlq_retention_hours = 24
[observatory.handlers.B]
stream = "s"
deliver = "log:"
dlq_retention_hours = 240
dlq_alert_threshold = 70
[observatory.handlers.C]
stream = "other"
deliver = "log:"
`

// withQueues is a broker that has dead-letter queues.
type withQueues struct{ *fakeBroker }

func (withQueues) Capabilities() broker.Capability { return broker.DeadLetters }

func TestOfASharedQueueTheLongestRetentionAndTheLowestThresholdHold(t *testing.T) {
	t.Parallel()
	d := open(t, dlqFile, &fakes{})
	var warnings []string
	for _, w := range d.Warnings() {
		warnings = append(warnings, w.String())
	}
	require.Equal(t, []string{
		`[observatory.handlers.A] dlq_retention_hours: 24 of handler A is not used, the longest holds, 240: handlers of the stream "s" share its dead-letter queue`,
		`[observatory.handlers.B] dlq_alert_threshold: 70 of handler B is not used, the lowest holds, 50: handlers of the stream "s" share its dead-letter queue`,
	}, warnings)

	called := 0
	d.OnDeadLetters("shop.notify", func(context.Context, deadletter.Alert) error { called++; return nil })
	c, err := d.Config()
	require.NoError(t, err)
	require.Empty(t, c.DeadLetters.Policies, "this broker cannot")

	queue := withQueues{d.brokers[streamBroker].(*fakeBroker)}
	d.brokers[streamBroker] = queue
	c, err = d.Config()
	require.NoError(t, err)
	require.Equal(t, []deadletter.Policy{
		{Queue: queue, Stream: "s", Retention: 240 * time.Hour, Threshold: 50}, {Queue: queue, Stream: "other", Retention: 168 * time.Hour, Threshold: 50},
	}, c.DeadLetters.Policies)
	require.Equal(t, time.Minute, c.DeadLetters.Every)
	require.Equal(t, time.Hour, c.DeadLetters.Repeat)
	require.NoError(t, c.DeadLetters.Alert(t.Context(), deadletter.Alert{}))
	require.Equal(t, 1, called)
}

// L50 of the reference: there the queues of one broker were maintained.
func TestTheQueuesOfEachBrokerAndKindOfHandlerAreMaintained(t *testing.T) {
	t.Parallel()
	d := open(t, `
server.default_subscription_type = "stream"
server.dlq.enabled = true
brokers.default = {provider = "redis", URI = "redis://h/0"}
brokers.partner = {provider = "redis", URI = "redis://h/1"}
brokers.without = {provider = "redis", URI = "redis://h/2"}
observatory.handlers.Audit = {stream = "refunds", broker = "partner", deliver = "log:"}
`, &fakes{})
	require.NoError(t, d.Register(
		handler.Events("shop.Mails", "events", on("A")...),
		handler.Commands("shop.Orders", "shop::order", on("Place")...),
		handler.Projector("shop.Report", []string{"projected"}, on("A")...),
		handler.Subscriber("shop.Payments", "payments", nothing).With(handler.Options{Broker: "partner"}),
		handler.Subscriber("shop.Lists", "lists", nothing).With(handler.Options{Broker: "without"}),
	))
	for _, name := range []string{"default", "partner"} {
		d.brokers[name] = withQueues{d.brokers[name].(*fakeBroker)}
	}
	c, err := d.Config()
	require.NoError(t, err)
	maintained := map[string]deadletter.Queue{}
	for _, p := range c.DeadLetters.Policies {
		maintained[p.Stream] = p.Queue
	}
	ours, partners := d.brokers["default"], d.brokers["partner"]
	require.Equal(t, map[string]deadletter.Queue{
		"events": ours, "shop::order:command": ours, "projected": ours, "payments": partners, "refunds": partners,
	}, maintained)
}
