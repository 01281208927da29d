package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
)

const messageDB = `
[event_store]
provider = "message_db"
database_uri = "postgresql+psycopg2://me:s3cret@h/d"
max_connections = 7
`

func TestAHandlerOfTheFileMayReadTheEventStore(t *testing.T) {
	t.Parallel()
	c := parse(t, messageDB+`
[server.subscriptions.Report]
position_update_interval = 50
subscription_type = "event_store"
[observatory.handlers.Report]
stream = "$all"
deliver = "log:"
[observatory.handlers.Mailer]
stream = "shop::order"
deliver = "log:"
[observatory.handlers.Audit]
stream = "shop::order"
deliver = "log:"
start = "end"
subscription_type = "event_store"
`)
	require.Equal(t, "message_db", c.EventStore.Provider)
	require.Equal(t, 7, c.EventStore.MaxConnections)
	require.Equal(t, "postgresql+psycopg2://***@h/d", c.EventStore.URIName)
	uri, err := c.EventStore.URI()
	require.NoError(t, err)
	require.Equal(t, "postgres://me:s3cret@h/d", uri)

	types := map[string]Type{}
	for _, h := range c.Handlers {
		resolved, err := c.Resolve(handler.Events(h.Name, h.Stream))
		require.NoError(t, err)
		require.Equal(t, h.Type, resolved.Type)
		types[h.Name] = h.Type
	}
	require.Equal(t, map[string]Type{"Report": TypeEventStore, "Mailer": TypeStream, "Audit": TypeEventStore}, types)
	resolved, err := c.Resolve(handler.Events("Report", "$all"))
	require.NoError(t, err)
	require.Equal(t, 50, resolved.Config().PositionInterval)
	require.False(t, resolved.Config().DeadLetters)
	require.Len(t, c.Warnings, 1)
	require.Equal(t, "start", c.Warnings[0].Key)
}

func TestAHandlerOnTheEventStoreHasNeitherGroupNorAnotherFormat(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		`domain.toml: [observatory.handlers.A] format = "fields": expected "envelope": an event store keeps messages in that form alone`,
		`domain.toml: [observatory.handlers.A] group = "g": expected none: an event_store subscription has no consumer group, and its position is kept by the handler's name`,
	}, mistakes(t, messageDB+`
[observatory.handlers.A]
stream = "shop::order"
deliver = "log:"
subscription_type = "event_store"
format = "fields"
group = "g"
`))
}

// What a file sets for all subscriptions to the event store is theirs alone.
func TestRetriesOfEventStoreSubscriptionsAreTheirOwn(t *testing.T) {
	t.Parallel()
	c := parse(t, messageDB+`
[server.stream_subscription]
max_retries = 2
[server.event_store_subscription]
max_retries = 7
retry_delay_seconds = 0.25
gap_timeout_seconds = 2
[server.subscriptions.Own]
subscription_type = "event_store"
max_retries = 4
[observatory.handlers.Report]
stream = "shop::order"
deliver = "log:"
subscription_type = "event_store"
[observatory.handlers.Mailer]
stream = "shop::order"
deliver = "log:"
`)
	require.Equal(t, 2*time.Second, c.EventStore.GapTimeout)
	require.Empty(t, c.Warnings)
	for name, want := range map[string]int{"Report": 7, "Mailer": 2, "Own": 4, "AnyInGo": 7} {
		resolved, err := c.Resolve(handler.Events(name, "shop::order"))
		require.NoError(t, err)
		require.Equal(t, want, resolved.Config().Retry.MaxAttempts, name)
		require.Equal(t, name != "Mailer", resolved.Config().Retry.Delay == 250*time.Millisecond, name)
	}
	stream, err := parse(t, messageDB+"[server]\ndefault_subscription_type = \"stream\"\n[server.event_store_subscription]\nmax_retries = 7").
		Resolve(handler.Events("AnyInGo", "shop::order"))
	require.NoError(t, err)
	require.Equal(t, 3, stream.Config().Retry.MaxAttempts)
}

func TestWhatIsNotDoneOfRecoveryIsSaid(t *testing.T) {
	t.Parallel()
	var got []string
	for _, w := range parse(t, "[server.event_store_subscription]\nenable_recovery = false\nrecovery_interval_seconds = 30").Warnings {
		got = append(got, w.String())
	}
	require.ElementsMatch(t, []string{
		"[server.event_store_subscription] enable_recovery: accepted, without effect in this release: what failed is always kept and tried again; max_retries = 1 calls each message once",
		"[server.event_store_subscription] recovery_interval_seconds: accepted, without effect in this release: what failed is tried again after retry_delay_seconds",
	}, got)
	require.Empty(t, parse(t, "[server.event_store_subscription]\nenable_recovery = true").Warnings)
}

// What is no category would be read for ever without a message.
func TestWhatIsNoCategoryIsAnErrorWithTheNearestRightForm(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]string{
		"shop::order-1":          `expected a category, which has no "-": that is the name of one stream; did you mean "shop::order"?`,
		"-1":                     `expected a category: what stands before the first "-" of a stream's name, and here nothing does`,
		"$ALL":                   `expected a category, or "$all" for every message of the store; did you mean "$all"?`,
		"$shop":                  `expected a category, or "$all" for every message of the store; did you mean "$all"?`,
		"position":               `expected a category of messages: "position" keeps how far subscriptions are`,
		"failed-X-shop::order":   `expected a category of messages: "failed" keeps how far subscriptions are`,
		"recovery-checkpoint-X":  `expected a category of messages: "recovery" keeps how far subscriptions are`,
		"observatory:pause":      `expected a category of messages: "observatory:pause" keeps which subscriptions are paused`,
		"observatory:pause-X":    `expected a category of messages: "observatory:pause" keeps which subscriptions are paused`,
		"shop::order":            "",
		"shop::order:command":    "",
		"shop::order_line:fact_": "",
		"failed::order":          "",
		"$all":                   "",
	} {
		file := messageDB + "[observatory.handlers.A]\nstream = \"" + stream + "\"\ndeliver = \"log:\"\nsubscription_type = \"event_store\""
		if want == "" {
			parse(t, file)
		} else {
			require.Equal(t, []string{`domain.toml: [observatory.handlers.A] stream = "` + stream + `": ` + want}, mistakes(t, file))
		}
	}
}

func TestTheBrokerOfAHandlerMustBeInTheFile(t *testing.T) {
	t.Parallel()
	const file = "[brokers.partner]\nprovider = \"redis\"\nURI = \"redis://partner:6379/0\"\n[observatory.handlers.Audit]\nstream = \"s\"\ndeliver = \"log:\"\n"
	require.Equal(t, "partner", parse(t, file+`broker = "partner"`).Handlers[0].Broker)
	require.Equal(t, []string{`domain.toml: [observatory.handlers.Audit] broker = "partnr": expected one of default, partner; did you mean "partner"?`},
		mistakes(t, file+`broker = "partnr"`))
	require.Equal(t, []string{`domain.toml: [observatory.handlers.Audit] broker = "partner": expected none: an event_store subscription reads the event store`},
		mistakes(t, file+"broker = \"partner\"\nsubscription_type = \"event_store\"\n[event_store]\nprovider = \"message_db\"\ndatabase_uri = \"postgresql://db/m\"\n"))
}

// A key that says something of streams and groups alone is not taken in silence.
func TestWhatAnEventStoreSubscriptionDoesNotHaveIsSaid(t *testing.T) {
	t.Parallel()
	const file = "[observatory.handlers.A]\nstream = \"shop::order\"\ndeliver = \"log:\"\nenable_dlq = false\nclaim_idle_seconds = 5\n"
	require.Empty(t, parse(t, file).Warnings)
	var got []string
	for _, w := range parse(t, messageDB+file+"subscription_type = \"event_store\"").Warnings {
		require.Equal(t, CodeNoEffect, w.Code)
		got = append(got, w.String())
	}
	require.ElementsMatch(t, []string{
		"[observatory.handlers.A] enable_dlq: is not used: an event store has no dead-letter queue, and keeps what is given up on, marked as exhausted",
		"[observatory.handlers.A] claim_idle_seconds: is not used: an event_store subscription has one owner, and another takes over within seconds once that has ended",
	}, got)
}

func TestAllMessagesAreOfTheEventStore(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{`domain.toml: [observatory.handlers.A] stream = "$all": expected the name of a stream, or subscription_type = "event_store" beside it: "$all" is every message of the event store`},
		mistakes(t, "[observatory.handlers.A]\nstream = \"$all\"\ndeliver = \"log:\""))
}

// 0 would be the default.
func TestAGapTimeoutIsPositive(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{`domain.toml: [server.event_store_subscription] gap_timeout_seconds = 0: expected a number of seconds, from 0.001 to 31622400`},
		mistakes(t, "[server.event_store_subscription]\ngap_timeout_seconds = 0"))
}
