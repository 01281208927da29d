package redisbroker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
)

func id(n uint64) entryID { return entryID{ms: n} }

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
		"nothing was ever removed":             {intact, groupState{delivered: id(7), read: some(7), lag: some(3)}, 3, proven},
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
			lag, certainty := judge(c.stream, c.group)
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
		"plausible, and so it is":    {30, plausible, stretch{n: 30}, 30, proven},
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
		group groupLook
		left  int64
		want  int64
	}{
		"its age alone":                {groupLook{certainty: proven, lag: 100}, 50, 1},
		"its age, at no cost":          {groupLook{certainty: proven, lag: 100}, 0, 1},
		"no more than that":            {groupLook{certainty: proven, lag: 100, behind: counted(1)}, 50, 0},
		"a small lag is checked":       {groupLook{certainty: plausible, lag: 10}, 50, 10},
		"once":                         {groupLook{certainty: plausible, lag: 10, behind: counted(10)}, 50, 0},
		"a larger one is not":          {groupLook{certainty: plausible, lag: 11}, 50, 1},
		"nor where too little is left": {groupLook{certainty: plausible, lag: 5}, 4, 1},
		"a first page":                 {groupLook{}, 50, 10},
		"a second":                     {groupLook{behind: counted(10)}, 50, 10},
		"a shorter third":              {groupLook{behind: counted(20)}, 50, 5},
		"no fourth":                    {groupLook{behind: counted(25)}, 50, 0},
		"what is left":                 {groupLook{behind: counted(10)}, 3, 3},
		"nothing is left":              {groupLook{behind: counted(10)}, 0, 0},
		"the age, nothing is left":     {groupLook{}, 0, 1},
		"all was seen":                 {groupLook{behind: stretch{known: true, n: 3, whole: true}}, 50, 0},
		"the server refused":           {groupLook{refused: true}, 50, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := &look{source: &source{bounds: b}, left: c.left}
			require.Equal(t, c.want, l.wanted(&c.group))
		})
	}
}

func TestAnAgeIsByRedisClockAndUnknownWhereTheIDIsNoTime(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	at := func(ms int64) entryID { return entryID{ms: uint64(ms)} }
	require.Equal(t, collector.Known(2.5), at(now.UnixMilli()-2500).age(now))
	require.Equal(t, collector.Known(0), at(now.UnixMilli()+9000).age(now), "added after the clock was read")
	require.Equal(t, collector.Value{}, at(5).age(now), "XADD s 5-1 …")
	require.Equal(t, collector.Value{}, at(now.UnixMilli()).age(time.Time{}))
}

func FuzzEntryIDs(f *testing.F) {
	for _, seed := range []string{"0-0", "1795348481285-6", "18446744073709551615-18446744073709551615", "1", "-", "1-", "1-1-1", "x-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseEntryID(text)
		if err != nil {
			return
		}
		again, err := parseEntryID(parsed.String())
		require.NoError(t, err)
		require.Zero(t, parsed.compare(again))
	})
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
	l := newLook(&source{})
	require.True(t, l.parseInfo("# Server\r\nloading:1\r\nused_memory:12\r\nconnected_clients:x\r\n"))
	require.Equal(t, collector.Broker{Up: collector.Known(0), MemoryBytes: collector.Known(12)}, l.server)
	require.False(t, l.parseInfo("loading:0\r\ninstantaneous_ops_per_sec:7\r\n"))
	require.Equal(t, collector.Known(1), l.server.Up)
	require.Equal(t, collector.Known(7), l.server.OpsPerSecond)
}
