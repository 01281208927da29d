package subscription

import "time"

// The waits between probes of a target that is down.
const (
	firstProbe = 500 * time.Millisecond
	lastProbe  = 15 * time.Second
	// excuses is how often a message may find the target down while others
	// are answered, before that counts as the message's own failure.
	excuses = 3
)

// target is whether what the handler depends on can work at all. While it is
// down, one message at a time is tried, with backoff.
type target struct {
	down  bool
	since time.Time
	probe time.Time // when the next probe is due
	wait  backoff
}

func newTarget() target {
	return target{wait: backoff{first: firstProbe, last: lastProbe}}
}

// failed notes that a call begun at started found the target down. It reports
// whether that is news. A call that began while the target was up is no probe.
func (t *target) failed(started, now time.Time) bool {
	news := !t.down
	if !news && started.Before(t.since) {
		return false
	}
	if news {
		t.since = now
		t.wait.reset()
	}
	t.down = true
	t.probe = now.Add(t.wait.next())
	return news
}

// answered notes that a call begun at started got an answer. It reports
// whether the target was down before. An answer to a call that began before
// the target went down says nothing.
func (t *target) answered(started time.Time) bool {
	if !t.down || started.Before(t.since) {
		return false
	}
	t.down = false
	return true
}

// mayStart says whether a call may be started now: any while the target is up,
// one probe at a time while it is down.
func (t *target) mayStart(now time.Time, busy int) bool {
	return !t.down || busy == 0 && !now.Before(t.probe)
}
