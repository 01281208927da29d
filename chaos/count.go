package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// counts are what a history comes to, counted as Jepsen counts.
type counts struct {
	ok, failed, unknown int
	unknownHandled      int
	faults              int
	inFlight            int           // what the faults may have repeated
	lost                int           // confirmed, and never handled, though Redis has it
	lostByRedis         int           // confirmed, never handled, and gone from Redis
	repeated            int           // calls beyond each message's first
	violations          int           // calls that broke the order of their aggregate
	longest             time.Duration // of any message, from confirmed to handled
	flow                time.Duration // in which nothing was handled though something waited
}

// count reads a history. kept are the entries that Redis has at the end; ordered
// says that one process had the stream to itself, so that an aggregate's messages
// must be called in the order of the stream.
func count(records []record, kept map[string]bool, ordered bool) counts {
	var c counts
	handled := map[int]time.Duration{} // when each message was first answered
	var calls []record
	for _, r := range records {
		switch r.Kind {
		case kindFault:
			c.faults++
			c.inFlight += r.InFlight
		case kindCall:
			calls = append(calls, r)
			at, again := handled[r.N]
			if again {
				c.repeated++
			}
			if !again || r.End < at {
				handled[r.N] = r.End
			}
		}
	}
	var waits []wait
	for _, r := range records {
		if r.Kind != kindPublish {
			continue
		}
		at, done := handled[r.N]
		switch r.Outcome {
		case outcomeFailed:
			c.failed++
		case outcomeUnknown:
			c.unknown++
			if done {
				c.unknownHandled++
			}
		case outcomeOK:
			c.ok++
			switch {
			case done:
				waits = append(waits, wait{from: min(r.At, at), until: at})
			case kept[r.ID]:
				c.lost++
			default:
				c.lostByRedis++
			}
		}
	}
	c.longest, c.flow = stalls(waits)
	c.violations = overlaps(calls)
	if ordered {
		c.violations += inversions(calls)
	}
	return c
}

// wait is the time from a message's confirmation to its handling.
type wait struct{ from, until time.Duration }

// stalls are the longest wait, and the longest time under load in which something
// waited and nothing was handled.
func stalls(waits []wait) (longest, flow time.Duration) {
	type step struct {
		at    time.Duration
		delta int
	}
	steps := make([]step, 0, 2*len(waits))
	var last time.Duration // when the load ended
	for _, w := range waits {
		longest, last = max(longest, w.until-w.from), max(last, w.from)
		steps = append(steps, step{w.from, 1}, step{w.until, -1})
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.delta, a.delta)) })
	waiting, since := 0, time.Duration(0)
	for _, s := range steps {
		if s.delta < 0 && since <= last {
			flow = max(flow, s.at-since)
		}
		if s.delta < 0 || waiting == 0 {
			since = s.at
		}
		waiting += s.delta
	}
	return longest, flow
}

// overlaps counts calls that a process began while another one of the same
// aggregate was under way in it.
func overlaps(calls []record) int {
	type lane struct {
		from string
		key  int
	}
	ends := map[lane]time.Duration{}
	n := 0
	for _, r := range sorted(calls) {
		l := lane{r.From, r.Key}
		if r.At < ends[l] {
			n++
		}
		ends[l] = max(ends[l], r.End)
	}
	return n
}

// inversions counts messages that were first called after a later one of their
// aggregate.
func inversions(calls []record) int {
	seen := map[int]bool{}
	last := map[int]string{}
	n := 0
	for _, r := range sorted(calls) {
		if seen[r.N] {
			continue
		}
		seen[r.N] = true
		if before(r.ID, last[r.Key]) {
			n++
			continue
		}
		last[r.Key] = r.ID
	}
	return n
}

func sorted(calls []record) []record {
	calls = slices.Clone(calls)
	slices.SortStableFunc(calls, func(a, b record) int { return cmp.Compare(a.At, b.At) })
	return calls
}

// before compares two ids of entries; the empty one comes first.
func before(a, b string) bool {
	am, as := entryParts(a)
	bm, bs := entryParts(b)
	return am < bm || am == bm && as < bs
}

func entryParts(id string) (ms, seq uint64) {
	left, right, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(left, 10, 64)
	seq, _ = strconv.ParseUint(right, 10, 64)
	return ms, seq
}

// bounds are what a scenario promises beyond "nothing lost, no dead letter, order
// kept where it is promised".
type bounds struct {
	once         bool          // no message is called twice; else at most what was in flight
	stall        time.Duration // the longest that any message may wait; 0: reported only
	redisMayLose bool          // what Redis no longer has is counted, and breaks nothing
}

// broken names what does not hold.
func (b bounds) broken(c counts, deadLetters int64) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if c.ok == 0 {
		say("no message was confirmed: nothing was tried")
	}
	if c.lost > 0 {
		say("%d messages were confirmed and never handled", c.lost)
	}
	if c.lostByRedis > 0 && !b.redisMayLose {
		say("%d messages were confirmed, never handled, and are gone from Redis", c.lostByRedis)
	}
	if deadLetters > 0 {
		say("%d messages were dead-lettered, of which none had failed", deadLetters)
	}
	if c.violations > 0 {
		say("%d calls broke the order of their aggregate", c.violations)
	}
	switch {
	case b.once && c.repeated > 0:
		say("%d calls were repetitions, and none may be here", c.repeated)
	case c.repeated > c.inFlight && !b.once:
		say("%d calls were repetitions, and %d entries were in flight at the faults", c.repeated, c.inFlight)
	}
	if b.stall > 0 && c.longest > b.stall {
		say("a message waited %s, and %s is the longest allowed", c.longest.Round(time.Millisecond), b.stall)
	}
	return lines
}
