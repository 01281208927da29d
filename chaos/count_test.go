package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

const ms = time.Millisecond

func published(n int, at time.Duration, outcome, id string) record {
	return record{Kind: kindPublish, N: n, At: at, Outcome: outcome, ID: id}
}

func called(n, key int, from, id string, at, end time.Duration) record {
	return record{Kind: kindCall, N: n, Key: key, From: from, ID: id, At: at, End: end}
}

func TestAHistoryIsCountedAsJepsenCounts(t *testing.T) {
	kept := map[string]bool{"1-0": true, "2-0": true, "3-0": true}
	c := count([]record{
		published(1, 10*ms, outcomeOK, "1-0"),
		published(2, 20*ms, outcomeOK, "2-0"), // never handled
		published(3, 20*ms, outcomeOK, "3-0"),
		published(4, 20*ms, outcomeOK, "4-0"), // never handled, and not in Redis
		published(5, 20*ms, outcomeFailed, ""),
		published(6, 20*ms, outcomeUnknown, ""),
		published(7, 20*ms, outcomeUnknown, ""), // handled
		{Kind: kindFault, At: 25 * ms, InFlight: 3},
		{Kind: kindMend, At: 26 * ms},
		called(1, 1, "r1.1", "1-0", 12*ms, 13*ms),
		called(3, 3, "r1.1", "3-0", 30*ms, 31*ms),
		called(3, 3, "r2.1", "3-0", 32*ms, 33*ms), // again
		called(7, 7, "r2.1", "5-0", 40*ms, 41*ms),
	}, kept, false)
	assert.Equal(t, counts{
		ok: 4, failed: 1, unknown: 2, unknownHandled: 1, faults: 1, inFlight: 3,
		lost: 1, lostByRedis: 1, repeated: 1, longest: 11 * ms, flow: 11 * ms,
	}, c)
}

func TestFlowStandsStillOnlyWhileSomethingWaits(t *testing.T) {
	waits := []wait{
		{from: 0, until: 10 * ms},
		{from: 5 * ms, until: 12 * ms},
		{from: 500 * ms, until: 520 * ms}, // nothing waited before it
		{from: 505 * ms, until: 900 * ms}, // after the load
	}
	longest, flow := stalls(waits)
	assert.Equal(t, 395*ms, longest)
	assert.Equal(t, 20*ms, flow)
}

func TestCallsThatBreakTheOrderOfTheirAggregateAreCounted(t *testing.T) {
	at := func(n, key int, from, id string, begin, end int) record {
		return called(n, key, from, id, time.Duration(begin)*ms, time.Duration(end)*ms)
	}
	for _, test := range []struct {
		name    string
		calls   []record
		ordered bool
		want    int
	}{
		{"one after the other", []record{at(1, 1, "a", "1-0", 0, 5), at(2, 1, "a", "2-0", 5, 9)}, true, 0},
		{"side by side in one process", []record{at(1, 1, "a", "1-0", 0, 5), at(2, 1, "a", "2-0", 4, 9)}, false, 1},
		{"side by side in two processes", []record{at(1, 1, "a", "1-0", 0, 5), at(2, 1, "b", "2-0", 4, 9)}, false, 0},
		{"of two aggregates", []record{at(1, 1, "a", "1-0", 0, 5), at(2, 2, "a", "2-0", 4, 9)}, true, 0},
		{"a later one first", []record{at(1, 1, "a", "10-0", 6, 7), at(2, 1, "a", "10-1", 0, 5)}, true, 1},
		{"a later one first, by number and not by text", []record{at(1, 1, "a", "10-0", 6, 7), at(2, 1, "a", "9-0", 0, 5)}, true, 0},
		{"a later one first, where that is not promised", []record{at(1, 1, "a", "1-0", 6, 7), at(2, 1, "b", "2-0", 0, 5)}, false, 0},
		{"an earlier one again", []record{at(1, 1, "a", "1-0", 0, 1), at(2, 1, "a", "2-0", 2, 3), at(1, 1, "a", "1-0", 4, 5)}, true, 0},
	} {
		assert.Equal(t, test.want, count(test.calls, nil, test.ordered).violations, test.name)
	}
}

func TestEachBoundThatIsBrokenIsNamed(t *testing.T) {
	good := counts{ok: 10, repeated: 2, inFlight: 2, longest: 3 * time.Second}
	assert.Empty(t, bounds{}.broken(good, 0))
	assert.Empty(t, bounds{redisMayLose: true}.broken(counts{ok: 1, lostByRedis: 1}, 0))
	assert.Empty(t, bounds{stall: 3 * time.Second}.broken(good, 0))
	for _, test := range []struct {
		bounds bounds
		counts counts
		dead   int64
		want   string
	}{
		{bounds{}, counts{}, 0, "no message was confirmed: nothing was tried"},
		{bounds{}, counts{ok: 1, lost: 1}, 0, "1 messages were confirmed and never handled"},
		{bounds{}, counts{ok: 1, lostByRedis: 1}, 0, "1 messages were confirmed, never handled, and are gone from Redis"},
		{bounds{}, counts{ok: 1}, 1, "1 messages were dead-lettered, of which none had failed"},
		{bounds{}, counts{ok: 1, violations: 2}, 0, "2 calls broke the order of their aggregate"},
		{bounds{}, counts{ok: 1, repeated: 3, inFlight: 2}, 0, "3 calls were repetitions, and 2 entries were in flight at the faults"},
		{bounds{once: true}, counts{ok: 1, repeated: 1, inFlight: 2}, 0, "1 calls were repetitions, and none may be here"},
		{bounds{stall: 2 * time.Second}, counts{ok: 1, longest: 2001 * ms}, 0, "a message waited 2.001s, and 2s is the longest allowed"},
	} {
		assert.Equal(t, []string{test.want}, test.bounds.broken(test.counts, test.dead))
	}
}
