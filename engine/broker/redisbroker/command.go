package redisbroker

import (
	"context"
	_ "embed" // the scripts are files
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// command is a command that is sent once. go-redis' client of a cluster repeats
// every other one whose reply was lost, whatever its MaxRetries.
type command struct{ *redis.Cmd }

// rawCommand is a command that is sent once and whose reply is kept as bytes:
// go-redis makes a map of each entry, which loses the order of the fields and
// costs several allocations an entry.
type rawCommand struct {
	*redis.RawWriteToCmd
	reply *replyBuffer
}

// replyBuffer is where a reply is written. At its first string it gets as much
// memory as is expected of all, so that it need not grow.
type replyBuffer struct {
	bytes    []byte
	expected int
	longest  int // what is longer becomes an empty text; 0 keeps all
	line     int // where the last line begins
}

// longestID is how long an entry's id may be.
const longestID = 2*20 + 1

// Write implements [io.Writer].
func (b *replyBuffer) Write(p []byte) (int, error) {
	if len(p) > 0 && p[0] != '\r' {
		b.line = len(b.bytes)
	}
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}

// ReadFrom reads all that a reader of go-redis has: it knows how much that is.
func (b *replyBuffer) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		return io.Copy(writerOnly{b}, r)
	}
	n := int(limited.N)
	if b.longest > 0 && n > b.longest+len("\r\n") {
		b.bytes = append(b.bytes[:b.line], "$0\r\n\r\n"...)
		return io.Copy(io.Discard, limited)
	}
	if cap(b.bytes)-len(b.bytes) < n {
		b.bytes = slices.Grow(b.bytes, max(n, b.expected-len(b.bytes)))
	}
	end := len(b.bytes)
	read, err := io.ReadFull(limited, b.bytes[end:end+n])
	b.bytes = b.bytes[:end+read]
	return int64(read), err
}

type writerOnly struct{ io.Writer }

func newCommand(ctx context.Context, args ...any) command {
	c := command{redis.NewCmd(ctx, args...)}
	c.SetFirstKeyPos(firstKey(args))
	return c
}

func newRawCommand(ctx context.Context, expected int, args ...any) rawCommand {
	b := &replyBuffer{expected: expected}
	c := rawCommand{redis.NewRawWriteToCmd(ctx, b, args...), b}
	c.SetFirstKeyPos(firstKey(args))
	return c
}

// newIDsCommand is a raw command of whose reply only the ids of entries are kept,
// and short texts.
func newIDsCommand(ctx context.Context, args ...any) rawCommand {
	return newShortTextsCommand(ctx, longestID, args...)
}

// newShortTextsCommand is a raw command of whose reply texts are kept that are no
// longer, or as short as an id.
func newShortTextsCommand(ctx context.Context, longest int, args ...any) rawCommand {
	c := newRawCommand(ctx, 0, args...)
	c.reply.longest = max(longest, longestID)
	return c
}

// NoRetry is what go-redis asks before it repeats a command.
func (command) NoRetry() bool { return true }

// NoRetry is what go-redis asks before it repeats a command.
func (rawCommand) NoRetry() bool { return true }

// Clone implements [redis.Cmder].
func (c command) Clone() redis.Cmder { return command{c.Cmd.Clone().(*redis.Cmd)} }

// Clone implements [redis.Cmder].
func (c rawCommand) Clone() redis.Cmder {
	b := &replyBuffer{expected: c.reply.expected, longest: c.reply.longest}
	clone := rawCommand{redis.NewRawWriteToCmd(context.Background(), b, c.Args()...), b}
	clone.SetFirstKeyPos(firstKey(c.Args()))
	return clone
}

// firstKey is the position of the stream's name, by which a cluster routes.
func firstKey(args []any) int8 {
	switch args[0] {
	case "XREADGROUP":
		return int8(len(args) - 2)
	case "XREAD":
		return int8(slices.Index(args, any("STREAMS")) + 1)
	case "EVALSHA", "EVAL":
		return 3
	case "XINFO":
		return 2
	}
	return 1
}

// send sends a command and returns its error.
func send(ctx context.Context, client redis.UniversalClient, c command) error {
	_ = client.Process(ctx, c)
	return c.Err()
}

// reply is the reply of a raw command that was sent. A redirect to another node
// of a cluster is followed here, since go-redis follows only those that it
// parsed itself; the redirected command was not executed by the first node.
func reply(ctx context.Context, client redis.UniversalClient, c rawCommand) ([]byte, error) {
	_, err := c.Result()
	buf := c.reply.bytes
	if err != nil || len(buf) == 0 || buf[0] != '-' {
		return buf, err
	}
	if text := string(buf); !strings.HasPrefix(text, "-MOVED ") && !strings.HasPrefix(text, "-ASK ") {
		return buf, nil
	}
	redirected := newCommand(ctx, c.Args()...)
	if err := send(ctx, client, redirected); err != nil && err != redis.Nil { //nolint:errorlint // never wrapped
		return nil, err
	}
	return appendReply(nil, redirected.Val())
}

// appendReply writes a parsed reply as the bytes that it had.
func appendReply(buf []byte, value any) ([]byte, error) {
	var err error
	switch v := value.(type) {
	case nil:
		return append(buf, "*-1\r\n"...), nil
	case int64:
		return fmt.Appendf(buf, ":%d\r\n", v), nil
	case string:
		buf = append(strconv.AppendInt(append(buf, '$'), int64(len(v)), 10), "\r\n"...)
		return append(append(buf, v...), "\r\n"...), nil
	case []any:
		buf = append(strconv.AppendInt(append(buf, '*'), int64(len(v)), 10), "\r\n"...)
		for _, part := range v {
			if buf, err = appendReply(buf, part); err != nil {
				return nil, err
			}
		}
		return buf, nil
	}
	return nil, fmt.Errorf("cannot read the server's reply: it holds a %T", value)
}

// script is a script and the hash by which the server knows it once it ran.
type script struct{ source, hash string }

func newScript(source string) script {
	return script{source, redis.NewScript(source).Hash()}
}

// The scripts. The head of each file names its keys, arguments and result.
var (
	//go:embed scripts/ids.lua
	idsSource string
	//go:embed scripts/create_group.lua
	createGroupSource string
	//go:embed scripts/claim_released.lua
	claimReleasedSource string
	//go:embed scripts/attempt.lua
	attemptSource string
	//go:embed scripts/release.lua
	releaseSource string
	//go:embed scripts/written.lua
	writtenSource string
	//go:embed scripts/find_deadletter.lua
	findDeadLetterSource string
	//go:embed scripts/deadletter.lua
	deadLetterSource string
	//go:embed scripts/renew.lua
	renewSource string
	//go:embed scripts/claim_dropped.lua
	claimDroppedSource string
	//go:embed scripts/trim.lua
	trimSource string
	//go:embed scripts/heartbeat.lua
	heartbeatSource string
	//go:embed scripts/take_over.lua
	takeOverSource string
	//go:embed scripts/leave.lua
	leaveSource string
	//go:embed scripts/position.lua
	positionSource string

	createGroupScript    = newScript(idsSource + createGroupSource)
	claimReleasedScript  = newScript(claimReleasedSource)
	positionScript       = newScript(positionSource)
	attemptScript        = newScript(attemptSource)
	releaseScript        = newScript(releaseSource)
	deadLetterScript     = newScript(writtenSource + deadLetterSource)
	findDeadLetterScript = newScript(writtenSource + findDeadLetterSource)
	renewScript          = newScript(idsSource + renewSource)
	claimDroppedScript   = newScript(idsSource + claimDroppedSource)
	trimScript           = newScript(idsSource + trimSource)
	heartbeatScript      = newScript(heartbeatSource)
	takeOverScript       = newScript(takeOverSource)
	leaveScript          = newScript(leaveSource)
)

// run runs a script by its hash and, where the server does not know it yet, by
// its source.
func (b *Broker) run(ctx context.Context, s script, keys []string, args ...any) (command, error) {
	call := func(how, what string) command {
		all := make([]any, 0, 3+len(keys)+len(args))
		all = append(all, how, what, len(keys))
		for _, key := range keys {
			all = append(all, key)
		}
		return newCommand(ctx, append(all, args...)...)
	}
	c := call("EVALSHA", s.hash)
	err := send(ctx, b.commands, c)
	if hasCode(err, "NOSCRIPT") {
		c = call("EVAL", s.source)
		err = send(ctx, b.commands, c)
	}
	return c, err
}
