package domain

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/deadletter"
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
	require.Nil(t, c.DeadLetters.Queue, "this broker cannot")

	d.brokers[streamBroker] = withQueues{d.brokers[streamBroker].(*fakeBroker)}
	c, err = d.Config()
	require.NoError(t, err)
	require.NotNil(t, c.DeadLetters.Queue)
	require.Equal(t, []deadletter.Policy{
		{Stream: "s", Retention: 240 * time.Hour, Threshold: 50}, {Stream: "other", Retention: 168 * time.Hour, Threshold: 50},
	}, c.DeadLetters.Policies)
	require.Equal(t, time.Minute, c.DeadLetters.Every)
	require.Equal(t, time.Hour, c.DeadLetters.Repeat)
	require.NoError(t, c.DeadLetters.Alert(t.Context(), deadletter.Alert{}))
	require.Equal(t, 1, called)
}
