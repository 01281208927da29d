package command

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/operate"
	"github.com/observatory-go/observatory/engine/testserver"
)

// shopOf is a configuration of two handlers on one stream of a Redis.
func shopOf(t *testing.T, url string) (path string) {
	t.Helper()
	return shoptest.Configure(t,
		`[brokers.default]`, `provider = "redis"`, fmt.Sprintf("URI = %q", url),
		`[observatory]`, `name = "shop"`,
		`[observatory.handlers.Mailer]`, fmt.Sprintf("stream = %q", stream), `deliver = "log:"`, `max_retries = 7`,
		`[observatory.handlers.Report]`, fmt.Sprintf("stream = %q", stream), `deliver = "log:"`, `group = "reports"`)
}

func TestSubscriptionsShowWhatIsLeftToDo(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	client := server.Client(t)
	for i := range 5 {
		shoptest.Place(t, client, fmt.Sprint("o", i))
	}
	require.NoError(t, client.XGroupCreate(t.Context(), stream, "Mailer", "0").Err())
	require.NoError(t, client.XReadGroup(t.Context(), &redis.XReadGroupArgs{
		Group: "Mailer", Consumer: "c", Streams: []string{stream, ">"}, Count: 2,
	}).Err())
	require.NoError(t, client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream + ":dlq", Values: []any{message.DataField, "{}"}}).Err())

	r := observatory("subscriptions", "--config", shopOf(t, server.URL))
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Empty(t, r.stderr)
	require.Equal(t, `HANDLER  STREAM       GROUP    TYPE    LAG  PENDING  OLDEST  DEAD LETTERS  NOTE
Mailer   shop::order           stream    3        2    AGE             1
Report   shop::order  reports  stream    -        -       -             1  no group yet
`, regexp.MustCompile(` +\d+(\.\d)?s `).ReplaceAllString(r.stdout, "    AGE "))
	groups, err := client.XInfoGroups(t.Context(), stream).Result()
	require.NoError(t, err)
	require.Len(t, groups, 1, "listing makes no group")
}

// An engine makes the stream that it is told to read, also where its name is
// misspelt.
func TestAStreamThatWasNeverWrittenIsNoted(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	path := shopOf(t, server.URL)
	r := observatory("subscriptions", "--config", path)
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Regexp(t, `(?m)^Mailer .* no stream\nReport .* no stream$`, r.stdout)

	client := server.Client(t)
	require.NoError(t, client.XGroupCreateMkStream(t.Context(), stream, "Mailer", "0").Err())
	r = observatory("subscriptions", "--config", path)
	require.Regexp(t, `(?m)^Mailer .* no entry yet\nReport .* no entry yet$`, r.stdout)

	shoptest.Place(t, client, "first")
	r = observatory("subscriptions", "--config", path)
	require.Regexp(t, `(?m)^Mailer .* 0\nReport .* no group yet$`, r.stdout)
}

func TestSubscriptionsOfOneHandlerShowItsSettings(t *testing.T) {
	t.Parallel()
	path := shopOf(t, testserver.StartRedis(t).URL)
	r := observatory("subscriptions", "Mailer", "--config", path)
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Regexp(t, `(?m)^ +SETTING +VALUE +ORIGIN$`, r.stdout)
	require.Regexp(t, `(?m)^ +max_retries +7 +\[observatory\.handlers\.Mailer\]`, r.stdout)
	require.NotContains(t, r.stdout, "Report")

	require.Regexp(t, `(?m)^ +deliver +log: +\[observatory\.handlers\.Mailer\]$`, r.stdout)
	require.Regexp(t, `(?m)^ +note +no stream$`, r.stdout)

	r = observatory("subscriptions", "--settings", "--config", path)
	require.Regexp(t, `(?s)Mailer.* max_retries +7 .*Report.* max_retries +3 `, r.stdout)

	r = observatory("subscriptions", "Nope", "--config", path)
	require.Equal(t, result{code: exitFailed, stderr: "observatory: there is no handler \"Nope\" in the file: expected one of Mailer, Report\n"}, r)
}

func TestSubscriptionsAreListedThoughTheServerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	path := shopOf(t, "redis://:hunter2@"+testserver.FreeAddress(t))
	r := observatory("subscriptions", "--config", path)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stdout, "Mailer   shop::order           stream    -        -       -             -\n")
	require.Regexp(t, `^observatory: broker:default could not be read: .*connection refused\n$`, r.stderr)
	require.NotContains(t, r.stderr, "hunter2")

	r = observatory("subscriptions", "--json", "--config", path)
	require.Equal(t, exitFailed, r.code)
	var list struct {
		Subscriptions []struct {
			Handler, Group string
			Lag            *float64
			LagExact       *bool `json:"lag_exact"`
			Pending        *float64
			DeadLetters    *float64 `json:"dead_letters"`
			Settings       []struct{ Key, Value, Origin string }
		}
		Queues []struct {
			Stream string
			Depth  *float64
		} `json:"dead_letter_queues"`
		Failed []struct{ Source, Error string }
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &list))
	require.Len(t, list.Subscriptions, 2)
	for _, s := range list.Subscriptions {
		require.Nil(t, s.Lag)
		require.Nil(t, s.LagExact)
		require.Nil(t, s.Pending)
		require.Nil(t, s.DeadLetters)
		require.NotEmpty(t, s.Settings)
	}
	require.Equal(t, "reports", list.Subscriptions[1].Group)
	require.Len(t, list.Queues, 1)
	require.Equal(t, stream, list.Queues[0].Stream)
	require.Nil(t, list.Queues[0].Depth)
	require.Len(t, list.Failed, 1)
	require.Equal(t, "broker:default", list.Failed[0].Source)
	require.Contains(t, list.Failed[0].Error, "connection refused")
	require.NotContains(t, r.stdout, "hunter2")
}

func TestSubscriptionsOfAServerThatHangsAreListedWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	path := shopOf(t, server.URL)
	require.NoError(t, server.Client(t).Do(t.Context(), "CLIENT", "PAUSE", limit.Milliseconds()).Err())
	started := time.Now()
	r := observatory("subscriptions", "--config", path)
	require.Less(t, time.Since(started), 5*time.Second)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stdout, "Report   shop::order  reports  stream    -        -       -             -\n")
	require.Contains(t, r.stderr, "broker:default could not be read")
}

// There is no server to ask where the broker is in another process' memory.
func TestSubscriptionsInMemoryAreListedWithTheirSettings(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "a", "b", "c")
	require.NoError(t, os.MkdirAll(nowhere, 0o755))
	t.Chdir(nowhere)
	r := observatory("subscriptions")
	require.Equal(t, exitDone, r.code)
	require.Regexp(t, `(?m)^sample.OrderReport\n    stream        sample::order\n    group         sample.OrderReport\n    type          stream\n    lag           -\n    pending       -\n    oldest        -\n    dead letters  -\n\n    SETTING `, r.stdout)
	require.Regexp(t, `(?s)sample.OrderReport.* messages_per_tick +5 `, r.stdout)
	require.Contains(t, r.stderr, "configuration embedded sample (no domain.toml")
	require.Contains(t, r.stderr, "no server to ask")

	r = observatory("subscriptions", "--config", shoptest.Configure(t,
		`[observatory.handlers.Mailer]`, `stream = "shop::order"`, `deliver = "log:"`))
	require.Equal(t, exitDone, r.code)
	require.Contains(t, r.stdout, "    lag           -\n    pending       -\n    oldest        -\n    dead letters  -\n")
	require.Contains(t, r.stderr, "no server to ask")
}

func TestSubscriptionsOfAFileWithoutHandlersSaySo(t *testing.T) {
	t.Parallel()
	r := observatory("subscriptions", "--config", shoptest.Configure(t, `[observatory]`, `name = "shop"`))
	require.Equal(t, exitDone, r.code)
	require.Contains(t, r.stdout, "add [observatory.handlers.<name>]")
	require.Contains(t, r.stdout, "Handlers that a Go program registers are not listed.")
}

func TestATableOnATerminalKeepsToItsWidth(t *testing.T) {
	t.Parallel()
	columns := table{{text: "HANDLER", name: true}, {text: "STREAM", name: true}, {text: "TYPE"}, {text: "LAG", number: true}}
	rows := [][]string{
		{"shop.inventory.notifications.StockLevelNotificationHandler", "shop::inventory_item_with_a_long_name_indeed", "stream", "1000000"},
		{"Mailer", "shop::order", "event_store", "-"},
	}
	lines := columns.lines(rows, 60)
	for _, line := range lines {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 60, line)
	}
	require.Equal(t, "shop.inv…onHandler  shop::in…me_indeed  stream       1000000", lines[1])
	require.Regexp(t, `^Mailer +shop::order +event_store +-$`, lines[2])
	require.Contains(t, columns.lines(rows, 0)[1], rows[0][0], "no limit, no cut")
}

func TestSubscriptionsShowWhatAHandlerDeliversAndNoSecret(t *testing.T) {
	t.Parallel()
	r := observatory("subscriptions", "Mailer", "--config", shoptest.Configure(t, `[observatory.handlers."shop.Mailer"]`,
		`stream = "shop::order"`, `deliver = "http://me:hunter2@h:8000/events?key=hunter2"`, `types = ["Shop.A", "Shop.B"]`,
		`headers.Authorization = "Bearer hunter2"`, `headers.X-Team = "hunter2"`))
	require.Equal(t, exitDone, r.code, r.stderr)
	for _, want := range []string{"deliver +http://h:8000/events", "types +Shop.A, Shop.B", "headers +Authorization, X-Team"} {
		require.Regexp(t, `(?m)^ +`+want+` +\[observatory\.handlers\."shop\.Mailer"\]$`, r.stdout)
	}
	require.Regexp(t, `(?m)^ +format +envelope +default$`, r.stdout)
	require.NotContains(t, r.stdout+r.stderr, "hunter2")
}

// As the label of an alert has it; the group's name is the handler's full one.
func TestHandlersAreListedByTheNameThatAlertsHave(t *testing.T) {
	t.Parallel()
	of := func(handler, group string) operate.Listed {
		return operate.Listed{Subscription: operate.Subscription{Handler: handler, Stream: "commerce::order", Group: group, Type: "stream"}}
	}
	const fulfilment, payment = "commerce.projections.OrderFulfilmentProjector", "commerce.projections.OrderPaymentProjector"
	lines := overview(&operate.List{Subscriptions: []operate.Listed{of(fulfilment, fulfilment), of(payment, payment)}}, terminalWidth)
	require.Equal(t, "HANDLER                   STREAM           TYPE    LAG  PENDING  OLDEST  DEAD LETTERS", lines[0])
	require.Contains(t, lines[1], "OrderFulfilmentProjector  commerce::order")
	require.Contains(t, lines[2], "OrderPaymentProjector     commerce::order")

	lines = overview(&operate.List{Subscriptions: []operate.Listed{of("a.Mailer", "a.Mailer"), of("b.Mailer", "mails"), of("Report", "Report")}}, 0)
	require.Regexp(t, `^a\.Mailer +commerce::order +stream`, lines[1])
	require.Regexp(t, `^b\.Mailer +commerce::order +mails +stream`, lines[2])
	require.Regexp(t, `^Report `, lines[3])
}
