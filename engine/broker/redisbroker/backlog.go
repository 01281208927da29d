package redisbroker

import (
	"context"
	"fmt"
	"math"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/message"
)

// inspectedGroup is one group of a watched stream, and the commands that ask for
// more than its state.
type inspectedGroup struct {
	stream    streamState
	state     groupState
	lag       int64
	certainty certainty
	behind    stretch

	count   int64 // entries that page asks for
	page    rawCommand
	refused bool

	summary *redis.XPendingCmd
	waiting collector.Value // age of the oldest pending entry
	summed  bool

	consumers *command
	lastSeen  collector.Value // seconds since one of them showed life
	seen      bool
}

// newInspectedGroup works the lag out uncounted, and leaves nothing to fetch where the state of
// the stream says what is behind.
func newInspectedGroup(s streamState, g groupState) *inspectedGroup {
	group := &inspectedGroup{stream: s, state: g}
	group.lag, group.certainty = uncountedLag(s, g)
	switch {
	case group.certainty != proven:
	case group.lag == 0:
		group.behind = stretch{known: true, whole: true}
	case g.delivered.Compare(s.first) < 0:
		group.behind = stretch{known: true, n: 1, first: s.first, last: s.first}
	}
	if g.pending == 0 {
		group.waiting = collector.Known(0)
	}
	return group
}

// details asks about the groups that are behind or have entries pending, in
// one pipeline, and goes on where entries have to be counted.
func (in *inspection) details(ctx context.Context) error {
	keys := in.watchedGroups()
	for len(keys) > 0 {
		err := in.pipeline(ctx, func(pipe redis.Pipeliner) {
			for _, key := range keys {
				in.ask(ctx, pipe, key)
			}
		})
		var more []groupKey
		for _, key := range keys {
			if in.answer(ctx, key); in.wanted(in.groups[key]) > 0 {
				more = append(more, key)
			}
		}
		if err != nil {
			return err
		}
		keys = more
	}
	return nil
}

// watchedGroups drops the groups that are not watched and returns the rest,
// each once, in the order in which they are watched.
func (in *inspection) watchedGroups() []groupKey {
	var keys []groupKey
	watched := make(map[groupKey]*inspectedGroup, len(in.groups))
	for _, w := range in.watched {
		key := groupKey{w.Stream, w.Group}
		if group := in.groups[key]; group != nil && watched[key] == nil {
			watched[key] = group
			keys = append(keys, key)
		}
	}
	in.groups = watched
	return keys
}

// wanted is how many entries behind the group's position to fetch: a page of
// those to be counted, and the oldest, whatever the bounds, for its age.
func (in *inspection) wanted(g *inspectedGroup) int64 {
	switch {
	case g.refused, g.behind.whole:
		return 0
	case g.behind.known:
		return in.toCount(g)
	}
	return max(1, in.toCount(g))
}

// toCount is the next page within the bounds. A lag that is plausible is
// counted where one page can hold one entry more, which would disprove it.
func (in *inspection) toCount(g *inspectedGroup) int64 {
	page := max(0, min(in.bounds.page, in.bounds.group-g.behind.n, in.left))
	if size := g.stream.entryBytes; size > 0 {
		page = min(page, max(in.bytes, 0)/size)
	}
	switch {
	case g.certainty == uncounted:
		return page
	case g.certainty == plausible && !g.behind.known && g.lag < page:
		return g.lag + 1
	}
	return 0
}

func (in *inspection) ask(ctx context.Context, pipe redis.Pipeliner, key groupKey) {
	g := in.groups[key]
	if g.count = in.wanted(g); g.count > 0 {
		in.left -= g.count
		in.bytes -= g.count * g.stream.entryBytes
		after := g.state.delivered
		if g.behind.n > 0 {
			after = g.behind.last
		}
		g.page = newIDsCommand(ctx, "XRANGE", key.stream, "("+after.String(), g.stream.last.String(), "COUNT", g.count)
		_ = pipe.Process(ctx, g.page)
	}
	if g.state.pending > 0 && g.summary == nil {
		g.summary = pipe.XPending(ctx, key.stream, key.group)
	}
	if (g.state.pending > 0 || g.lag > 0 || g.certainty != proven) && g.consumers == nil {
		list := newCommand(ctx, "XINFO", "CONSUMERS", key.stream, key.group)
		_ = pipe.Process(ctx, list)
		g.consumers = &list
	}
}

// answer takes what the server said, or that it refused.
func (in *inspection) answer(ctx context.Context, key groupKey) {
	g := in.groups[key]
	if g.summary != nil && !g.summed {
		g.waiting, g.summed = in.oldest(key, g.summary), true
	}
	if g.consumers != nil && !g.seen {
		var err error
		g.lastSeen, err = lastSeen(*g.consumers)
		g.seen = true
		in.noteError(key.stream, err)
	}
	if g.count == 0 {
		return
	}
	if err := g.extend(ctx, in.broker.inspector); err != nil {
		g.refused = true
		in.noteError(key.stream, err)
	}
}

// oldest is the age of the oldest pending entry; 0 where there is none any more.
func (in *inspection) oldest(key groupKey, summary *redis.XPendingCmd) collector.Value {
	pending, err := summary.Result()
	switch {
	case err != nil:
		in.noteError(key.stream, err)
		return collector.Value{}
	case pending.Count == 0:
		return collector.Known(0)
	}
	id, err := message.ParseEntryID(pending.Lower)
	in.noteError(key.stream, err)
	return ageOf(id, in.now) // unknown for 0-0
}

// lastSeen is how many seconds ago a consumer of a group last showed life: the least
// idle time of all. It is infinite where there are none.
func lastSeen(consumers command) (collector.Value, error) {
	if err := consumers.Err(); err != nil {
		return collector.Value{}, err
	}
	list, ok := consumers.Val().([]any)
	if !ok {
		return collector.Value{}, fmt.Errorf("XINFO CONSUMERS: expected a list, got %T", consumers.Val())
	}
	least := math.Inf(1)
	for _, consumer := range list {
		for name, value := range pairs(consumer) {
			if idle := integer(value); name == "idle" && idle.one() == 1 {
				least = min(least, float64(idle.n)/1000)
			}
		}
	}
	return collector.Known(least), nil
}

// extend adds the page that was fetched.
func (g *inspectedGroup) extend(ctx context.Context, client redis.UniversalClient) error {
	buf, err := reply(ctx, client, g.page)
	if err != nil {
		return err
	}
	entries, err := parseRange("", buf)
	if err != nil {
		return err
	}
	first, last, err := ends(entries)
	if err != nil {
		return err
	}
	g.behind = g.behind.extend(g.count, int64(len(entries)), first, last)
	if g.certainty == plausible && g.behind.n > g.lag {
		g.certainty = uncounted
	}
	return nil
}

// ends are the ids of the first and the last entry; 0-0 where there are none.
func ends(entries []message.Delivery) (first, last message.EntryID, err error) {
	if len(entries) == 0 {
		return first, last, nil
	}
	if first, err = message.ParseEntryID(entries[0].ID); err != nil {
		return first, last, err
	}
	last, err = message.ParseEntryID(entries[len(entries)-1].ID)
	return first, last, err
}

// subscription is what the collector gets of one subscription.
func (in *inspection) subscription(w collector.Watch, g *inspectedGroup, deadLetters collector.Value) collector.Subscription {
	sub := collector.Subscription{
		Watch: w, DeadLetters: deadLetters,
		Pending:              collector.Known(float64(g.state.pending)),
		EntriesRead:          g.state.read.value(),
		OldestPendingSeconds: g.waiting,
		LastSeenSeconds:      g.lastSeen,
		PositionAhead:        collector.Known(0),
	}
	if g.state.delivered.Compare(g.stream.last) > 0 {
		sub.PositionAhead = collector.Known(1)
	}
	sub.Lag, sub.LagExact, sub.LagSeconds = in.lag(g)
	if g.waiting.Known && sub.LagSeconds.Known {
		sub.OldestUnfinishedSeconds = collector.Known(max(g.waiting.V, sub.LagSeconds.V))
	}
	return sub
}

func (in *inspection) lag(g *inspectedGroup) (lag, exact, seconds collector.Value) {
	n, c := g.lag, g.certainty
	if g.behind.known {
		n, c = correct(n, c, g.behind)
		seconds = ageOf(g.behind.first, in.now)
	}
	switch {
	case c == proven:
		lag, exact = collector.Known(float64(n)), collector.Known(1)
	case c == plausible, g.behind.known:
		lag, exact = collector.Known(float64(n)), collector.Known(0)
	}
	if lag == collector.Known(0) {
		seconds = collector.Known(0)
	}
	return lag, exact, seconds
}
