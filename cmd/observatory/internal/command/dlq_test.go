package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/operate"
	"github.com/observatory-go/observatory/engine/testserver"
)

// The groups of the tests' dead letters, and the reasons, which go round.
var (
	failedGroups  = []string{"Mailer", "reports", "shop.stock.Stock"}
	failedReasons = []deadletter.Reason{deadletter.Rejected, deadletter.Exhausted, deadletter.Undecodable, deadletter.Unhandled, deadletter.Poison}
)

// failedShop is a Redis with n messages, each given up by one of three groups and
// handled by the others, and a file that names the first two of their handlers. The
// dead letters are in another order than the originals.
type failedShop struct {
	*redis.Client
	t    *testing.T
	path string
	ids  []string
}

func newFailedShop(t *testing.T, n int) *failedShop {
	t.Helper()
	server := testserver.StartRedis(t)
	s := &failedShop{Client: server.Client(t), t: t, path: shopOf(t, server.URL)}
	for _, group := range failedGroups {
		require.NoError(t, s.XGroupCreateMkStream(t.Context(), stream, group, "$").Err())
	}
	texts := make([]string, n)
	for start := 0; start < n; start += 1000 {
		pipe := s.Pipeline()
		var adds []*redis.StringCmd
		for i := start; i < min(start+1000, n); i++ {
			texts[i] = fmt.Sprintf(`{"data": {"n": %d.0}, "metadata": {"headers": {"id": "message-%d", "type": "Shop.T%d", "stream": "shop::order-%d"}}}`, i, i, i%2, i)
			adds = append(adds, pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []any{message.DataField, texts[i]}}))
		}
		_, err := pipe.Exec(t.Context())
		require.NoError(t, err)
		for _, add := range adds {
			s.ids = append(s.ids, add.Val())
		}
	}
	// No dead letter has the id of an original.
	last, err := message.ParseEntryID(s.ids[n-1])
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.Time(t.Context()).Val().UnixMilli() > int64(last.Milliseconds) }, limit, time.Millisecond)
	for _, group := range failedGroups { // each has read and acknowledged all
		require.NoError(t, s.XGroupSetID(t.Context(), stream, group, "$").Err())
	}
	for start := 0; start < n; start += 1000 {
		pipe := s.Pipeline()
		for k := start; k < min(start+1000, n); k++ {
			i := n - 1 - k
			entry := deadletter.Compose(message.Delivery{
				Stream: stream, ID: s.ids[i], Fields: []message.Field{{Name: message.DataField, Value: []byte(texts[i])}},
			}, deadletter.Metadata{
				ConsumerGroup: failedGroups[i%3], Consumer: "c", FailedAt: time.Now(), RetryCount: 3, Reason: failedReasons[i%5],
				FailureReason: fmt.Sprintf("card %d was DECLINED\nby the bank", i),
			})
			pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: deadletter.QueueOf(stream), Values: []any{message.DataField, entry.Data}})
		}
		_, err := pipe.Exec(t.Context())
		require.NoError(t, err)
	}
	return s
}

func (s *failedShop) run(args ...string) result {
	s.t.Helper()
	return observatory(append(args, "--config", s.path)...)
}

// pending are the ids that a group has pending for the consumer "released".
func (s *failedShop) pending(group string) (ids []string) {
	s.t.Helper()
	all, err := s.XPendingExt(s.t.Context(), &redis.XPendingExtArgs{Stream: stream, Group: group, Start: "-", End: "+", Count: 100_000}).Result()
	require.NoError(s.t, err)
	for _, one := range all {
		require.Equal(s.t, "released", one.Consumer)
		require.Zero(s.t, one.RetryCount)
		ids = append(ids, one.ID)
	}
	return ids
}

// of are the ids of the originals that a group gave up.
func (s *failedShop) of(group int) (ids []string) {
	for i := group; i < len(s.ids); i += 3 {
		ids = append(ids, s.ids[i])
	}
	return ids
}

func (s *failedShop) depth() int {
	return int(s.XLen(s.t.Context(), deadletter.QueueOf(stream)).Val())
}

func TestDeadLettersAreListedByWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 15)
	r := s.run("dlq", "list")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Empty(t, r.stderr)
	lines := strings.Split(r.stdout, "\n")
	require.Equal(t, "Stream shop::order", lines[0])
	require.Regexp(t, `^ID +HANDLER +TYPE +REASON +ATTEMPTS +AGE +ERROR$`, lines[2])
	require.Regexp(t, `^\d+-\d+ +Stock +Shop\.T0 +poison +3 +\ds +card 14 was DECLINED by the bank$`, lines[3])
	require.Regexp(t, `^\d+-\d+ +Report +Shop\.T1 +unhandled +3 +\ds +card 13 was`, lines[4])
	require.Equal(t, "15 dead letters", lines[len(lines)-2])

	count := func(args ...string) int {
		r := s.run(append([]string{"dlq", "list", "--json"}, args...)...)
		require.Equal(t, exitDone, r.code, r.stderr)
		var got jsonDeadLetters
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &got))
		return len(got.DeadLetters)
	}
	for want, args := range map[string][]string{
		"15 all": nil, "5 a": {"--handler", "Mailer"}, "5 b": {"--handler", "Report"}, "5 c": {"--handler", "Stock", "--stream", stream},
		"3": {"--reason", "poison"}, "8": {"--type", "Shop.T0"}, "1 a": {"--error", "CARD 7 was declined"}, "1 b": {"--id", "message-7"},
		"2": {"--id", "message-7", "--id", s.ids[3]}, "1 c": {"--handler", "Mailer", "--reason", "rejected"}, "0 a": {"--older-than", "1h"}, "15 b": {"--newer-than", "1d"},
		"4": {"--limit", "4"}, "15 c": {"--stream", stream + ":dlq"}, "0 b": {"--stream", "elsewhere"},
	} {
		n, err := strconv.Atoi(strings.Fields(want)[0])
		require.NoError(t, err)
		require.Equal(t, n, count(args...), args)
	}
	require.Contains(t, s.run("dlq", "list", "--limit", "4").stdout, "4 dead letters; there are more (--limit)\n")
	require.Equal(t, "No dead letters.\n", s.run("dlq", "list", "--type", "Nope").stdout)
	require.Equal(t, 15, s.depth(), "listing changes nothing")
}

func TestADeadLetterIsShownWithItsPayload(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 3)
	for _, id := range []string{"message-1", s.ids[1]} {
		r := s.run("dlq", "inspect", id)
		require.Equal(t, exitDone, r.code, r.stderr)
		require.Contains(t, r.stdout, "    handler     Report\n    group       reports\n    consumer    c\n    original    "+s.ids[1]+"\n    message     message-1\n    type        Shop.T1\n    reason      exhausted\n    attempts    3\n")
		require.Contains(t, r.stdout, `    {"data": {"n": 1.0}, "metadata": {"headers": {"id": "message-1", "type": "Shop.T1", "stream": "shop::order-1"}}}`+"\n")
	}
	r := s.run("dlq", "inspect", "nope")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, `there is no dead letter "nope", nor one of a message or an entry of that id: observatory dlq list has the ids`)
}

func TestDeadLettersAreReplayedToTheGroupThatFailed(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 30)
	r := s.run("dlq", "replay-all", "--handler", "Report", "--dry-run")
	require.Equal(t, result{code: exitDone, stdout: "Would replay 10 dead letters: 10 to group reports of shop::order.\n"}, r)
	require.Empty(t, s.pending("reports"))

	r = s.run("dlq", "replay", "message-3", "--yes", "--json")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.JSONEq(t, `{"dry_run": false, "matched": 1, "delivered": 1, "already_pending": 0, "copied": 0, "gone": 0}`, r.stdout)
	require.Equal(t, s.ids[3:4], s.pending("Mailer"))

	r = s.run("dlq", "replay-all", "--handler", "Report", "--yes")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Equal(t, "10 of 10 dead letters delivered again.\n", r.stdout)
	require.Regexp(t, `dead letters replayed.*by\W+\w+@.*handler=Report.*matched\W+10`, r.stderr, "every change is logged: who, filter, count")
	require.Equal(t, s.of(1), s.pending("reports"), "in the order of the originals")
	require.Equal(t, s.ids[3:4], s.pending("Mailer"))
	require.Empty(t, s.pending("shop.stock.Stock"))
	require.Equal(t, 19, s.depth())
}

// L50 of the reference: there the dead letters of one broker were seen.
func TestDeadLettersOfEveryBrokerAreListedAndReplayed(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"beside another": {`[brokers.default]`, `provider = "redis"`, fmt.Sprintf("URI = %q", testserver.Redis(t).URL)},
		"alone":          nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFailedShop(t, 30)
			s.path = shoptest.Configure(t, append(lines,
				`[brokers.partner]`, `provider = "redis"`, fmt.Sprintf("URI = %q", "redis://"+s.Options().Addr),
				`[observatory.handlers.Mailer]`, fmt.Sprintf("stream = %q", stream), `broker = "partner"`, `deliver = "log:"`)...)
			r := s.run("dlq", "list", "--handler", "Mailer", "--json")
			require.Equal(t, exitDone, r.code, r.stderr)
			var got jsonDeadLetters
			require.NoError(t, json.Unmarshal([]byte(r.stdout), &got))
			require.Len(t, got.DeadLetters, 10)
			r = s.run("dlq", "replay-all", "--handler", "Mailer", "--yes")
			require.Equal(t, exitDone, r.code, r.stderr)
			require.Equal(t, s.of(0), s.pending("Mailer"))
			file := filepath.Join(t.TempDir(), "purged.jsonl")
			r = s.run("dlq", "purge", "--output", file, "--yes")
			require.Equal(t, exitDone, r.code, r.stderr)
			require.Zero(t, s.depth())
			r = s.run("dlq", "import", file)
			require.Equal(t, exitDone, r.code, r.stderr)
			require.Equal(t, 20, s.depth())
			r = s.run("dlq", "trim", "--older-than", "1h", "--yes")
			require.Equal(t, exitDone, r.code, r.stderr)
		})
	}
}

// A name on two brokers is two queues.
func TestAStreamOfNoHandlerIsThatOfTheBrokerThatHasIt(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 3)
	other := testserver.StartRedis(t)
	s.path = shoptest.Configure(t, `[brokers.default]`, `provider = "redis"`, fmt.Sprintf("URI = %q", other.URL),
		`[brokers.partner]`, `provider = "redis"`, fmt.Sprintf("URI = %q", "redis://"+s.Options().Addr))
	r := s.run("dlq", "list", "--stream", stream)
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stdout, "3 dead letters")
	require.NoError(t, other.Client(t).XAdd(t.Context(), &redis.XAddArgs{Stream: stream + ":dlq", Values: []any{"data", "{}"}}).Err())
	for _, args := range [][]string{{"list"}, {"purge", "--yes", "--no-export"}, {"trim", "--older-than", "1h", "--yes"}} {
		r = s.run(append(append([]string{"dlq"}, args...), "--stream", stream)...)
		require.Equal(t, exitFailed, r.code, args)
		require.Contains(t, r.stderr, `the brokers default, partner have dead letters of a stream "shop::order" each: name the broker`)
	}
	require.Contains(t, s.run("dlq", "list", "--stream", stream, "--broker", "default").stdout, "1 dead letter\n")
	r = s.run("dlq", "list", "--stream", stream, "--broker", "nope")
	require.Contains(t, r.stderr, `broker "nope" is none of the file that is a server and has dead letters: expected one of default, partner`)
	file := filepath.Join(t.TempDir(), "purged.jsonl")
	r = s.run("dlq", "purge", "--stream", stream, "--broker", "partner", "--output", file, "--yes")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Zero(t, s.depth())
	r = s.run("dlq", "import", file)
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Equal(t, 3, s.depth(), "on the broker from which they were exported")
}

func TestWhatTheEventStoreHasIsSaidToBeLeftOut(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 1)
	store := []string{
		`[event_store]`, `provider = "message_db"`, `database_uri = "postgresql://me@127.0.0.1:1/store"`,
		`[observatory.handlers.Report]`, fmt.Sprintf("stream = %q", stream), `subscription_type = "event_store"`, `deliver = "log:"`,
	}
	r := observatory("dlq", "list", "--config", shoptest.Configure(t, store...))
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "what handlers of the event store give up on is in no dead-letter queue: it stays in the store, recorded there as Exhausted: Report")
	s.path = shoptest.Configure(t, append(store, `[brokers.default]`, `provider = "redis"`, fmt.Sprintf("URI = %q", "redis://"+s.Options().Addr),
		`[observatory.handlers.Mailer]`, fmt.Sprintf("stream = %q", stream), `deliver = "log:"`)...)
	r = s.run("dlq", "list", "--json")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stderr, "not listed is what handlers of the event store gave up on, which is recorded there as Exhausted: Report")
	var got jsonDeadLetters
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &got))
	require.Len(t, got.DeadLetters, 1)
	require.Equal(t, []string{"Report"}, got.LeftOut)
}

// An id may be that of one dead letter, and of the message or original of others.
func TestAnIDThatNamesSeveralChangesNothing(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 3)
	queue := deadletter.QueueOf(stream)
	first := s.XRange(t.Context(), queue, "-", "+").Val()[0].ID
	add := func(messageID, original string) string {
		id, err := s.XAdd(t.Context(), &redis.XAddArgs{Stream: queue, Values: []any{"data", fmt.Sprintf(
			`{"metadata": {"headers": {"id": %q}}, "_dlq_metadata": {"original_stream": "shop::order", "original_id": %q, "consumer_group": "Mailer"}}`, messageID, original)}}).Result()
		require.NoError(t, err)
		return id
	}
	impostor := add(first, s.ids[0])
	again := add("message-0", first)
	for _, args := range [][]string{{"replay", "message-0"}, {"purge", "--id", "message-0", "--no-export"}, {"replay-all", "--id", "message-0"}} {
		r := s.run(append(append([]string{"dlq"}, args...), "--yes")...)
		require.Equal(t, exitFailed, r.code, args)
		require.Contains(t, r.stderr, `"message-0" names 2 dead letters: `)
		require.Contains(t, r.stderr, again+" of shop::order on broker default (handler Mailer, message \"message-0\", original \""+first+"\")")
	}
	require.Equal(t, 5, s.depth())
	r := s.run("dlq", "purge", "--id", first, "--no-export", "--yes")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Equal(t, "1 dead letter deleted.\n", r.stdout, "the one that has it in its queue")
	require.Contains(t, s.run("dlq", "inspect", impostor).stdout, impostor)
	require.Equal(t, 4, s.depth())
}

func TestAReplayAsksBeforeItChangesAnything(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 3)
	ask := func(answer string, args ...string) (code int, stdout, stderr string) {
		in, out, errs := strings.NewReader(answer), &bytes.Buffer{}, &bytes.Buffer{}
		return run(append(args, "--config", s.path), in, out, errs), out.String(), errs.String()
	}
	for _, answer := range []string{"", "\n", "n\n", "what\n"} {
		code, stdout, stderr := ask(answer, "dlq", "replay-all")
		require.Equal(t, exitFailed, code)
		require.Empty(t, stdout)
		require.Equal(t, "Replay 3 dead letters: 1 to group Mailer of shop::order, 1 to group reports of shop::order, 1 to group shop.stock.Stock of shop::order. Go on? [y/N] observatory: nothing was done\n", stderr)
	}
	code, _, stderr := ask("", "dlq", "purge")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "nothing was done")
	require.Equal(t, 3, s.depth())

	var out, errs bytes.Buffer
	pipe, other, err := os.Pipe()
	require.NoError(t, err)
	defer pipe.Close()
	require.NoError(t, other.Close())
	require.Equal(t, exitFailed, run([]string{"dlq", "replay-all", "--config", s.path}, pipe, &out, &errs))
	require.Contains(t, errs.String(), "standard input is no terminal to ask on; give --yes, or --dry-run")

	code, stdout, _ := ask("yes\n", "dlq", "replay-all", "--handler", "Mailer")
	require.Equal(t, exitDone, code)
	require.Equal(t, "1 of 1 dead letter delivered again.\n", stdout)
}

func TestDeadLettersComeBackFromAnExport(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 30)
	queue := deadletter.QueueOf(stream)
	require.NoError(t, s.XAdd(t.Context(), &redis.XAddArgs{Stream: queue, Values: []any{"data", "\xff", "raw", "\x00 <"}}).Err())
	values := func() (all []map[string]any) {
		for _, entry := range s.XRange(t.Context(), queue, "-", "+").Val() {
			all = append(all, entry.Values)
		}
		return all
	}
	before := values()
	path := filepath.Join(t.TempDir(), "purged.jsonl")
	r := s.run("dlq", "export")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Equal(t, 31, strings.Count(r.stdout, "\n"))

	r = s.run("dlq", "purge", "--output", path, "--dry-run")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Equal(t, "Would delete 31 dead letters, exported to "+path+" first.\n", r.stdout)
	require.NoFileExists(t, path)

	r = s.run("dlq", "purge", "--output", path, "--yes")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Equal(t, "31 dead letters deleted; observatory dlq import "+path+" puts them back.\n", r.stdout)
	require.Zero(t, s.depth())
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	for _, want := range []string{"31 dead letters put back, 0 in their queue already.\n", "0 dead letters put back, 31 in their queue already.\n"} {
		r = s.run("dlq", "import", path)
		require.Equal(t, exitDone, r.code, r.stderr)
		require.Equal(t, want, r.stdout)
	}
	require.Equal(t, before, values(), "byte for byte, in order")

	r = s.run("dlq", "purge", "--output", path, "--yes")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, path+" exists: name another file with --output")
	require.Equal(t, 31, s.depth(), "nothing is deleted that was not exported")

	r = s.run("dlq", "purge", "--reason", "poison", "--no-export", "--yes")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Equal(t, "6 dead letters deleted.\n", r.stdout)
	require.Equal(t, 25, s.depth())
}

func TestAnImportOfWhatIsNoExportNamesTheLine(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 1)
	for text, want := range map[string]string{
		"{}":     "line 1: expected a line of an export",
		"\n\n[]": "line 3: json: cannot unmarshal array",
		`{"stream": "s:dlq", "dead_letter": "1-0", "fields": [{"name": "data", "value": "x"}]}`: `line 1: stream "s:dlq" is a dead-letter queue: expected the stream that it belongs to, "s"`,
	} {
		r := s.run("dlq", "import", shoptest.Configure(t, text))
		require.Equal(t, exitFailed, r.code)
		require.Contains(t, r.stderr, want)
	}
	require.Equal(t, 1, s.depth())
	r := s.run("dlq", "import", "/nowhere")
	require.Contains(t, r.stderr, "/nowhere")
}

func TestQueuesAreTrimmedByAge(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 3)
	queue := deadletter.QueueOf(stream)
	require.NoError(t, s.Del(t.Context(), queue).Err())
	old := time.Now().Add(-8 * 24 * time.Hour).UnixMilli()
	for i := range 3 {
		require.NoError(t, s.XAdd(t.Context(), &redis.XAddArgs{Stream: queue, ID: fmt.Sprintf("%d-0", old+int64(i)), Values: []any{"data", "{}"}}).Err())
	}
	require.NoError(t, s.XAdd(t.Context(), &redis.XAddArgs{Stream: queue, Values: []any{"data", "{}"}}).Err())
	r := s.run("dlq", "trim", "--older-than", "7d", "--dry-run")
	require.Regexp(t, `^Would delete 3 dead letters that came into a queue before \S+, without an export\.\n$`, r.stdout)
	r = s.run("dlq", "trim", "--older-than", "7d", "--yes")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Equal(t, "3 dead letters deleted.\n", r.stdout)
	require.Equal(t, 1, s.depth())
	require.Equal(t, "No dead letters are older.\n", s.run("dlq", "trim", "--older-than", "7d", "--yes").stdout)
}

func TestWhatIsWrongWithADeadLetterCommandIsToldWithAWayOut(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 1)
	for want, args := range map[string][]string{
		`--reason, or the variable OBSERVATORY_REASON, is "nope": expected one of rejected, exhausted`: {"dlq", "list", "--reason", "nope"},
		`--older-than, or the variable OBSERVATORY_OLDER_THAN, is "soon": expected a number and`:       {"dlq", "list", "--older-than", "soon"},
		`--limit, or the variable OBSERVATORY_LIMIT, is "0": expected a whole number, 1 or more`:       {"dlq", "list", "--limit", "0"},
		`--rate, or the variable OBSERVATORY_RATE, is "-1": expected messages a second`:                {"dlq", "replay-all", "--rate=-1"},
		`older-than`: {"dlq", "trim", "--yes"},
		`id`:         {"dlq", "replay"},
	} {
		r := s.run(args...)
		require.Equal(t, exitUsage, r.code, args)
		require.Contains(t, r.stderr, want)
	}
	r := s.run("dlq", "list", "--handler", "Nope")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, `there is no handler "Nope" in the file: expected one of Mailer, Report; for a handler that is not in the file name its stream too`)

	down := shopOf(t, "redis://me:hunter2@"+testserver.FreeAddress(t))
	r = observatory("dlq", "list", "--config", down)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "connection refused")
	require.NotContains(t, r.stderr, "hunter2")

	r = observatory("dlq", "list", "--config", shoptest.Configure(t, `[observatory.handlers.Mailer]`, `stream = "shop::order"`, `deliver = "log:"`))
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "there is no server to read dead letters from")
}

func TestAListOnATerminalKeepsToItsWidth(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 3)
	text := deadLettersText(deadLettersOf(t, s), false, time.Now(), terminalWidth)
	for one := range strings.SplitSeq(text, "\n") {
		require.LessOrEqual(t, utf8.RuneCountInString(one), terminalWidth, one)
	}
}

// A dead letter beyond the ten thousandth is there too, and a replay that is killed at
// any point loses nothing and handles each once.
func TestFiftyThousandDeadLettersAreReplayedThoughTheReplayIsKilledTenTimes(t *testing.T) {
	t.Parallel()
	const n = 50_000
	s := newFailedShop(t, n)
	r := s.run("dlq", "list", "--json")
	require.Equal(t, exitDone, r.code, r.stderr)
	var list jsonDeadLetters
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &list))
	require.Equal(t, n, len(list.DeadLetters)) //nolint:testifylint // Len prints all of them
	r = s.run("dlq", "list", "--reason", "poison", "--handler", "Mailer", "--json")
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &list))
	require.Equal(t, 3333, len(list.DeadLetters)) //nolint:testifylint // Len prints all of them

	for kill := 1; kill <= 10; kill++ {
		p := startProcess(t, nil, "dlq", "replay-all", "--rate", "20000", "--yes", "--config", s.path)
		p.until("it is under way", func() bool { return s.depth() <= n-kill*2000 })
		require.NoError(t, p.cmd.Process.Kill())
		<-p.ended
		total := s.depth()
		for _, group := range failedGroups {
			total += len(s.pending(group))
		}
		require.Equal(t, n, total, "each is in the queue or with its group")
	}
	require.NotZero(t, s.depth())
	r = s.run("dlq", "replay-all", "--yes")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Zero(t, s.depth())
	for i, group := range failedGroups {
		require.Equal(t, s.of(i), s.pending(group), "each once, to the group that failed, in order")
	}
}

// deadLettersOf reads a queue as the list has it.
func deadLettersOf(t *testing.T, s *failedShop) (all []operate.DeadLetter) {
	t.Helper()
	for _, entry := range s.XRange(t.Context(), deadletter.QueueOf(stream), "-", "+").Val() {
		read := deadletter.Read(stream, message.Delivery{ID: entry.ID, Fields: []message.Field{{Name: "data", Value: []byte(entry.Values["data"].(string))}}})
		all = append(all, operate.DeadLetter{Stored: read, Handler: "shop.a.very.long.Name" + strings.Repeat("OfAHandler", 5)})
	}
	return all
}

// What others wrote to the servers controls no terminal, and makes up no rows.
func TestWhatOthersWroteIsPrintable(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 1)
	const evil = "a\x1b[31m\nFAKE\u009b\u202e"
	text := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	require.NoError(t, s.XAdd(t.Context(), &redis.XAddArgs{Stream: deadletter.QueueOf(stream), ID: "9999999999999-1", Values: []any{
		"data", fmt.Sprintf(`{"metadata": {"headers": {"id": %s, "type": %[1]s}}, "_dlq_metadata": {"original_stream": "shop::order", "original_id": "1-1", "consumer_group": %[1]s, "failure_reason": %[1]s, "consumer": %[1]s}}`, text(evil)),
		"raw", "\xff\x1b" + evil,
	}}).Err())
	outputs := map[string]string{
		"list": s.run("dlq", "list").stdout, "inspect": s.run("dlq", "inspect", "9999999999999-1").stdout, "replay": s.run("dlq", "replay-all", "--dry-run").stdout,
		"no such": s.run("dlq", "inspect", evil+"x").stderr,
		"pause":   s.run("subscriptions", "pause", "Mailer", "--reason", evil, "--by", evil).stdout, "paused": s.run("subscriptions", "pause", "Mailer", "--reason", "x").stdout,
		"subscriptions": s.run("subscriptions").stdout, "one": s.run("subscriptions", "Mailer").stdout,
	}
	for name, out := range outputs {
		require.Contains(t, out, `\x1b`, name)
		require.NotContains(t, out, "\nFAKE", name)
		for line := range strings.SplitSeq(out, "\n") {
			for _, r := range line {
				require.True(t, unicode.IsPrint(r), "%s: %q", name, line)
			}
		}
	}
}

// Who sets the key by hand may leave out when: that is not the year 1.
func TestAPauseWithoutATimeShowsNone(t *testing.T) {
	t.Parallel()
	s := newFailedShop(t, 1)
	require.NoError(t, s.Set(t.Context(), "observatory:{shop::order}:pause:Mailer", `{"state": "paused"}`, 0).Err())
	for _, args := range [][]string{{"subscriptions"}, {"subscriptions", "--json"}, {"subscriptions", "pause", "Mailer", "--reason", "x"}} {
		require.NotContains(t, s.run(args...).stdout, "0001-01-01", args)
	}
}
