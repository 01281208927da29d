package redisbroker

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/message"
)

// groupLook is one group of a watched stream, and the commands that ask for
// more than its state.
type groupLook struct {
	stream    streamState
	state     groupState
	lag       int64
	certainty certainty
	behind    stretch

	count   int64 // entries that page asks for
	page    *redis.RawCmd
	refused bool

	summary *redis.XPendingCmd
	waiting collector.Value // age of the oldest pending entry
	summed  bool
}

// newGroupLook judges the lag, and leaves nothing to fetch where the state of
// the stream says what is behind.
func newGroupLook(s streamState, g groupState) *groupLook {
	group := &groupLook{stream: s, state: g}
	group.lag, group.certainty = judge(s, g)
	switch {
	case group.certainty != proven:
	case group.lag == 0:
		group.behind = stretch{known: true, whole: true}
	case g.delivered.compare(s.first) < 0:
		group.behind = stretch{known: true, n: 1, first: s.first, last: s.first}
	}
	if g.pending == 0 {
		group.waiting = collector.Known(0)
	}
	return group
}

// details asks about the groups that are behind or have entries pending, in
// one pipeline, and goes on where entries have to be counted.
func (l *look) details(ctx context.Context) error {
	keys := l.watchedGroups()
	for len(keys) > 0 {
		err := l.pipeline(ctx, func(pipe redis.Pipeliner) {
			for _, key := range keys {
				l.ask(ctx, pipe, key)
			}
		})
		var more []groupKey
		for _, key := range keys {
			if l.answer(key); l.wanted(l.groups[key]) > 0 {
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

// watchedGroups drops the groups that nobody watches and returns the rest,
// each once, in the order in which they are watched.
func (l *look) watchedGroups() []groupKey {
	var keys []groupKey
	watched := make(map[groupKey]*groupLook, len(l.groups))
	for _, w := range l.watched {
		key := groupKey{w.Stream, w.Group}
		if group := l.groups[key]; group != nil && watched[key] == nil {
			watched[key] = group
			keys = append(keys, key)
		}
	}
	l.groups = watched
	return keys
}

// wanted is how many entries behind the group's position to fetch: a page of
// those to be counted, and the oldest, whatever the bounds, for its age.
func (l *look) wanted(g *groupLook) int64 {
	switch {
	case g.refused, g.behind.whole:
		return 0
	case g.behind.known:
		return l.toCount(g)
	}
	return max(1, l.toCount(g))
}

// toCount is the next page within the bounds. A lag that is plausible is
// counted where one page can do it.
func (l *look) toCount(g *groupLook) int64 {
	page := max(0, min(l.bounds.page, l.bounds.group-g.behind.n, l.left))
	switch {
	case g.certainty == uncounted:
		return page
	case g.certainty == plausible && !g.behind.known && g.lag <= page:
		return g.lag
	}
	return 0
}

func (l *look) ask(ctx context.Context, pipe redis.Pipeliner, key groupKey) {
	g := l.groups[key]
	if g.count = l.wanted(g); g.count > 0 {
		l.left -= g.count
		after := g.state.delivered
		if g.behind.n > 0 {
			after = g.behind.last
		}
		g.page = redis.NewRawCmd(ctx, "XRANGE", key.stream, "("+after.String(), g.stream.last.String(), "COUNT", g.count)
		_ = pipe.Process(ctx, g.page)
	}
	if g.state.pending > 0 && g.summary == nil {
		g.summary = pipe.XPending(ctx, key.stream, key.group)
	}
}

// answer files what the server said, or that it refused.
func (l *look) answer(key groupKey) {
	g := l.groups[key]
	if g.summary != nil && !g.summed {
		g.waiting, g.summed = l.oldest(key, g.summary), true
	}
	if g.count == 0 {
		return
	}
	if err := g.extend(); err != nil {
		g.refused = true
		l.blame(key.stream, err)
	}
}

// oldest is the age of the oldest pending entry; 0 where there is none any more.
func (l *look) oldest(key groupKey, summary *redis.XPendingCmd) collector.Value {
	pending, err := summary.Result()
	switch {
	case err != nil:
		l.blame(key.stream, err)
		return collector.Value{}
	case pending.Count == 0:
		return collector.Known(0)
	}
	id, err := parseEntryID(pending.Lower)
	l.blame(key.stream, err)
	return id.age(l.now) // unknown for 0-0
}

// extend adds the page that was fetched.
func (g *groupLook) extend() error {
	buf, err := g.page.Result()
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
	return nil
}

// ends are the ids of the first and the last entry; 0-0 where there are none.
func ends(entries []message.Delivery) (first, last entryID, err error) {
	if len(entries) == 0 {
		return first, last, nil
	}
	if first, err = parseEntryID(entries[0].ID); err != nil {
		return first, last, err
	}
	last, err = parseEntryID(entries[len(entries)-1].ID)
	return first, last, err
}

// subscription is what the collector gets of one subscription.
func (l *look) subscription(w collector.Watch, g *groupLook, letters collector.Value) collector.Subscription {
	sub := collector.Subscription{
		Watch: w, DeadLetters: letters,
		Pending:     collector.Known(float64(g.state.pending)),
		EntriesRead: g.state.read.value(),
	}
	sub.Lag, sub.LagExact, sub.LagSeconds = l.lag(g)
	if g.waiting.Known && sub.LagSeconds.Known {
		sub.OldestUnfinishedSeconds = collector.Known(max(g.waiting.V, sub.LagSeconds.V))
	}
	return sub
}

func (l *look) lag(g *groupLook) (lag, exact, seconds collector.Value) {
	n, c := g.lag, g.certainty
	if g.behind.known {
		n, c = correct(n, c, g.behind)
		seconds = g.behind.first.age(l.now)
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
