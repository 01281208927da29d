package redisbroker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/message"
)

func id(n uint64) message.EntryID { return message.EntryID{Milliseconds: n} }

func some(n int64) count { return count{n, true} }

func TestALagIsTakenForWhatItIsWorth(t *testing.T) {
	// Ten entries were added, 1-0 to 10-0; the first five were trimmed.
	trimmed := streamState{length: 5, last: id(10), first: id(6), added: some(10)}
	intact := streamState{length: 10, last: id(10), first: id(1), added: some(10)}
	holed := streamState{length: 8, last: id(10), first: id(1), added: some(10), maxDeleted: id(8)}
	old := streamState{length: 10, last: id(10), first: id(1)}

	for name, c := range map[string]struct {
		stream    streamState
		group     groupState
		lag       int64
		certainty certainty
	}{
		"empty, whatever Redis says":           {streamState{last: id(10), added: some(10)}, groupState{lag: some(1)}, 0, proven},
		"at the end, whatever Redis says":      {trimmed, groupState{delivered: id(10), read: some(7), lag: some(3)}, 0, proven},
		"beyond the end, read in between":      {trimmed, groupState{delivered: id(11)}, 0, proven},
		"behind the oldest entry":              {trimmed, groupState{delivered: id(2), read: some(2), lag: some(8)}, 5, proven},
		"nothing was ever removed":             {intact, groupState{delivered: id(7), read: some(7), lag: some(3)}, 3, plausible},
		"a false entries-read was set":         {intact, groupState{delivered: id(7), read: some(5), lag: some(5)}, 5, plausible},
		"all that was removed had been read":   {trimmed, groupState{delivered: id(7), read: some(7), lag: some(3)}, 3, plausible},
		"removed before it was read":           {trimmed, groupState{delivered: id(7), read: some(4), lag: some(6)}, 0, uncounted},
		"removed unread, and one read":         {trimmed, groupState{delivered: id(6), read: some(5), lag: some(4)}, 0, uncounted},
		"NULL":                                 {intact, groupState{delivered: id(7), read: some(7)}, 0, uncounted},
		"more than there are":                  {trimmed, groupState{delivered: id(7), lag: some(5)}, 0, uncounted},
		"less than none":                       {intact, groupState{delivered: id(7), lag: some(-2)}, 0, uncounted},
		"none, with entries to come":           {intact, groupState{delivered: id(7), lag: some(0)}, 0, uncounted},
		"deleted ahead of the group":           {holed, groupState{delivered: id(7), read: some(7), lag: some(3)}, 0, uncounted},
		"a server that keeps no such figure":   {old, groupState{delivered: id(7)}, 0, uncounted},
		"such a server, at the end":            {old, groupState{delivered: id(10)}, 0, proven},
		"such a server, a group that got none": {old, groupState{}, 10, proven},
	} {
		t.Run(name, func(t *testing.T) {
			lag, certainty := uncountedLag(c.stream, c.group)
			require.Equal(t, c.lag, lag)
			require.Equal(t, c.certainty, certainty)
		})
	}
}

func TestWhatTheEntriesSayCorrectsALag(t *testing.T) {
	for name, c := range map[string]struct {
		lag       int64
		certainty certainty
		seen      stretch
		want      int64
		worth     certainty
	}{
		"proven, one seen":           {3, proven, stretch{n: 1}, 3, proven},
		"proven, but gone since":     {3, proven, stretch{whole: true}, 0, proven},
		"plausible, not counted":     {300, plausible, stretch{n: 1}, 300, plausible},
		"plausible, and so it is":    {30, plausible, stretch{n: 30, whole: true}, 30, proven},
		"plausible, more may follow": {30, plausible, stretch{n: 30}, 30, plausible},
		"plausible, but it is not":   {30, plausible, stretch{n: 27, whole: true}, 27, proven},
		"counted to the end":         {0, uncounted, stretch{n: 1700, whole: true}, 1700, proven},
		"counted to the bound":       {0, uncounted, stretch{n: 10_000}, 10_000, uncounted},
		"counted, and there is none": {0, uncounted, stretch{whole: true}, 0, proven},
	} {
		t.Run(name, func(t *testing.T) {
			lag, worth := correct(c.lag, c.certainty, c.seen)
			require.Equal(t, c.want, lag)
			require.Equal(t, c.worth, worth)
		})
	}
}

func TestNoMoreIsFetchedThanTheBoundsAllow(t *testing.T) {
	b := bounds{page: 10, group: 25}
	counted := func(n int64) stretch { return stretch{known: true, n: n} }
	for name, c := range map[string]struct {
		group inspectedGroup
		left  int64
		want  int64
	}{
		"its age alone":                {inspectedGroup{certainty: proven, lag: 100}, 50, 1},
		"its age, at no cost":          {inspectedGroup{certainty: proven, lag: 100}, 0, 1},
		"no more than that":            {inspectedGroup{certainty: proven, lag: 100, behind: counted(1)}, 50, 0},
		"a small lag is checked":       {inspectedGroup{certainty: plausible, lag: 9}, 50, 10},
		"once":                         {inspectedGroup{certainty: plausible, lag: 9, behind: counted(9)}, 50, 0},
		"a larger one is not":          {inspectedGroup{certainty: plausible, lag: 10}, 50, 1},
		"nor where too little is left": {inspectedGroup{certainty: plausible, lag: 5}, 5, 1},
		"a first page":                 {inspectedGroup{}, 50, 10},
		"a second":                     {inspectedGroup{behind: counted(10)}, 50, 10},
		"a shorter third":              {inspectedGroup{behind: counted(20)}, 50, 5},
		"no fourth":                    {inspectedGroup{behind: counted(25)}, 50, 0},
		"what is left":                 {inspectedGroup{behind: counted(10)}, 3, 3},
		"nothing is left":              {inspectedGroup{behind: counted(10)}, 0, 0},
		"the age, nothing is left":     {inspectedGroup{}, 0, 1},
		"all was seen":                 {inspectedGroup{behind: stretch{known: true, n: 3, whole: true}}, 50, 0},
		"the server refused":           {inspectedGroup{refused: true}, 50, 0},
		"what the bytes allow":         {inspectedGroup{stream: streamState{entryBytes: 200}}, 50, 5},
		"a small lag of large entries": {inspectedGroup{certainty: plausible, lag: 5, stream: streamState{entryBytes: 200}}, 50, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in := &inspection{source: &source{bounds: b}, left: c.left, bytes: 1000}
			require.Equal(t, c.want, in.wanted(&c.group))
		})
	}
}

func TestAnAgeIsByRedisClockAndUnknownWhereTheIDIsNoTime(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	at := func(ms int64) message.EntryID { return id(uint64(ms)) }
	require.Equal(t, collector.Known(2.5), ageOf(at(now.UnixMilli()-2500), now))
	require.Equal(t, collector.Known(0), ageOf(at(now.UnixMilli()+9000), now), "added after the clock was read")
	require.Equal(t, collector.Value{}, ageOf(message.EntryID{Milliseconds: 5, Sequence: 1}, now), "XADD s 5-1 …")
	require.Equal(t, collector.Value{}, ageOf(at(now.UnixMilli()), time.Time{}))
}

func TestAReplyThatLacksSomethingIsAnErrorThatNamesIt(t *testing.T) {
	_, err := parseStream([]any{"length", int64(3), "first-entry", nil})
	require.ErrorContains(t, err, "last-generated-id")
	_, err = parseStream([]any{"length", int64(3), "last-generated-id", "x"})
	require.ErrorContains(t, err, `"x"`)
	_, err = parseStream([]any{"first-entry", []any{}})
	require.ErrorContains(t, err, "first-entry")
	_, err = parseStream("no list")
	require.Error(t, err)
	_, err = parseGroups("no list")
	require.Error(t, err)
	_, err = parseGroups([]any{[]any{"name", "g", "pending", int64(1)}})
	require.ErrorContains(t, err, "last-delivered-id")
}

func TestAServerThatLoadsItsDataIsNotUp(t *testing.T) {
	in := newInspection(&source{})
	require.True(t, in.parseInfo("# Server\r\nloading:1\r\nused_memory:12\r\nconnected_clients:x\r\n"))
	require.Equal(t, collector.Broker{Up: collector.Known(0), MemoryBytes: collector.Known(12)}, in.server)
	require.False(t, in.parseInfo("loading:0\r\ninstantaneous_ops_per_sec:7\r\n"))
	require.Equal(t, collector.Known(1), in.server.Up)
	require.Equal(t, collector.Known(7), in.server.OpsPerSecond)
}
