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
	"github.com/observatory-go/observatory/engine/subscription"
)

// inspectedStream is one watched stream, and the commands that ask about it.
type inspectedStream struct {
	state *streamState // nil: unknown, or there is no stream
	queue collector.Value

	info, groups command
	length       *redis.IntCmd // of the queue
}

// overview asks the server about itself, whether it lets entries be consumed, and
// about every watched stream.
func (in *inspection) overview(ctx context.Context) error {
	var info *redis.StringCmd
	var probe *probe
	var clock *redis.TimeCmd
	var pauses pauseReplies
	err := in.pipeline(ctx, func(pipe redis.Pipeliner) {
		info = pipe.Info(ctx)
		probe = in.broker.queueProbe(ctx, pipe)
		for name, s := range in.streams {
			s.info = newCommand(ctx, "XINFO", "STREAM", name)
			_ = pipe.Process(ctx, s.info)
			s.groups = newCommand(ctx, "XINFO", "GROUPS", name)
			_ = pipe.Process(ctx, s.groups)
			s.length = pipe.XLen(ctx, deadletter.QueueOf(name))
		}
		pauses = in.broker.queuePauses(ctx, pipe, in.identities())
		clock = pipe.Time(ctx)
	})
	loading := in.noteServer(info)
	switch {
	case err != nil:
		if probe.isUnanswered() { // by one node of a cluster, where another gave INFO
			in.server.Up = collector.Known(0)
		}
	case loading:
		err := serverError("LOADING the server is loading its data")
		in.broker.noteInspection(ctx, err)
		return err
	case clock.Err() == nil:
		in.now = clock.Val()
	case redis.IsPermissionError(clock.Err()):
		in.noteError("TIME", clock.Err())
	default:
		return clock.Err() // the server refuses the user
	}
	if err == nil {
		if in.broker.noteProbe(ctx, probe) != nil {
			in.server.Up = collector.Known(0)
		}
	}
	for name, s := range in.streams {
		in.noteStream(name, s)
	}
	var unread error
	in.pauses, unread = pauses.states()
	in.noteError("which subscriptions are paused", unread)
	return err
}

// identities are the watched subscriptions.
func (in *inspection) identities() []subscription.Identity {
	all := make([]subscription.Identity, len(in.watched))
	for i, w := range in.watched {
		all[i] = subscription.Identity{Stream: w.Stream, Group: w.Group}
	}
	return all
}

// noteServer takes what INFO says. The server is up if it answers and serves,
// also where it denies INFO to this user; whether it is, is unknown where the
// caller did not wait for the answer.
func (in *inspection) noteServer(info *redis.StringCmd) (loading bool) {
	err := info.Err()
	switch {
	case err == nil:
		loading = in.parseInfo(info.Val())
		if in.broker.cluster { // the figures of one node are not the cluster's
			in.server.MemoryBytes, in.server.ConnectedClients, in.server.OpsPerSecond = collector.Value{}, collector.Value{}, collector.Value{}
		}
	case redis.IsPermissionError(err):
		in.server.Up = collector.Known(1)
		in.noteError("INFO", err)
	case !errors.Is(err, context.Canceled):
		in.server.Up = collector.Known(0)
	}
	return loading
}

func (in *inspection) parseInfo(text string) (loading bool) {
	in.server.Up = collector.Known(1)
	for line := range strings.SplitSeq(text, "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "loading":
			if loading = value == "1"; loading {
				in.server.Up = collector.Known(0)
			}
		case "used_memory":
			in.server.MemoryBytes = number(value)
		case "connected_clients":
			in.server.ConnectedClients = number(value)
		case "instantaneous_ops_per_sec":
			in.server.OpsPerSecond = number(value)
		}
	}
	return loading
}

func number(text string) collector.Value {
	v, err := strconv.ParseUint(text, 10, 64)
	return collector.Value{V: float64(v), Known: err == nil}
}

// noteStream takes what the server says of one stream, its groups and its
// dead-letter queue.
func (in *inspection) noteStream(name string, s *inspectedStream) {
	if depth, err := s.length.Result(); err == nil {
		s.queue = collector.Known(float64(depth))
	} else {
		in.noteError(deadletter.QueueOf(name), err)
	}
	state, groups, err := s.states()
	if err != nil {
		in.noteError(name, err)
		return
	}
	s.state = &state
	for group, gs := range groups {
		in.groups[groupKey{name, group}] = newInspectedGroup(state, gs)
	}
}

func (s *inspectedStream) states() (state streamState, groups map[string]groupState, err error) {
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
