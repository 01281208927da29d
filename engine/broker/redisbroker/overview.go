package redisbroker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/deadletter"
)

// streamLook is one watched stream, and the commands that ask about it.
type streamLook struct {
	state *streamState // nil: unknown, or there is no stream
	queue collector.Value

	info, groups *redis.Cmd
	letters      *redis.IntCmd
}

// overview asks the server about itself and about every watched stream.
func (l *look) overview(ctx context.Context) error {
	var info *redis.StringCmd
	var clock *redis.TimeCmd
	err := l.pipeline(ctx, func(pipe redis.Pipeliner) {
		info = pipe.Info(ctx)
		for name, s := range l.streams {
			s.info = pipe.Do(ctx, "XINFO", "STREAM", name)
			s.groups = pipe.Do(ctx, "XINFO", "GROUPS", name)
			s.letters = pipe.XLen(ctx, deadletter.QueueOf(name))
		}
		clock = pipe.Time(ctx)
	})
	loading := l.fileServer(info)
	switch {
	case err != nil:
	case loading:
		return errors.New("the server is loading its data")
	case clock.Err() == nil:
		l.now = clock.Val()
	case redis.IsPermissionError(clock.Err()):
		l.blame("TIME", clock.Err())
	default:
		return clock.Err() // the server lets nobody in
	}
	for name, s := range l.streams {
		l.fileStream(name, s)
	}
	return err
}

// fileServer files what INFO says. The server is up if it answers and serves,
// also where it keeps INFO from us; whether it is, is unknown where nobody
// waited for the answer.
func (l *look) fileServer(info *redis.StringCmd) (loading bool) {
	err := info.Err()
	switch {
	case err == nil:
		loading = l.parseInfo(info.Val())
	case redis.IsPermissionError(err):
		l.server.Up = collector.Known(1)
		l.blame("INFO", err)
	case !errors.Is(err, context.Canceled):
		l.server.Up = collector.Known(0)
	}
	return loading
}

func (l *look) parseInfo(text string) (loading bool) {
	l.server.Up = collector.Known(1)
	for line := range strings.SplitSeq(text, "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "loading":
			if loading = value == "1"; loading {
				l.server.Up = collector.Known(0)
			}
		case "used_memory":
			l.server.MemoryBytes = number(value)
		case "connected_clients":
			l.server.ConnectedClients = number(value)
		case "instantaneous_ops_per_sec":
			l.server.OpsPerSecond = number(value)
		}
	}
	return loading
}

func number(text string) collector.Value {
	v, err := strconv.ParseUint(text, 10, 64)
	return collector.Value{V: float64(v), Known: err == nil}
}

// fileStream files what the server says of one stream, its groups and its
// dead-letter queue.
func (l *look) fileStream(name string, s *streamLook) {
	if letters, err := s.letters.Result(); err == nil {
		s.queue = collector.Known(float64(letters))
	} else {
		l.blame(deadletter.QueueOf(name), err)
	}
	state, groups, err := s.states()
	if err != nil {
		l.blame(name, err)
		return
	}
	s.state = &state
	for group, gs := range groups {
		l.groups[groupKey{name, group}] = newGroupLook(state, gs)
	}
}

func (s *streamLook) states() (state streamState, groups map[string]groupState, err error) {
	if err := cmp.Or(s.info.Err(), s.groups.Err()); err != nil {
		return state, nil, err
	}
	if state, err = parseStream(s.info.Val()); err != nil {
		return state, nil, fmt.Errorf("XINFO STREAM: %w", err)
	}
	if groups, err = parseGroups(s.groups.Val()); err != nil {
		return state, nil, fmt.Errorf("XINFO GROUPS: %w", err)
	}
	return state, groups, nil
}
