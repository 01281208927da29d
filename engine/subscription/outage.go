package subscription

import (
	"time"

	"github.com/observatory-go/observatory/engine/retry"
)

// The waits between probes of a target that is down.
const (
	firstProbe = 500 * time.Millisecond
	lastProbe  = 15 * time.Second
	// maxDownAlone is how often a message may find the target down while others
	// are answered, before that counts as the message's own failure.
	maxDownAlone = 3
	// maxCuts is how often the target may take a message and not answer, and
	// cutOffAfter how long it must have answered no other, before that counts as
	// the message's own failure: a proxy before an application that is being
	// deployed takes requests as well.
	maxCuts     = 3
	cutOffAfter = 2 * time.Minute
)

// outage is what is known of the target. While it is down, one message at a
// time is tried, with backoff.
type outage struct {
	gate  *gate
	since time.Time
	probe time.Time // when the next probe is due
	wait  retry.Backoff
}

func newOutage(g *gate) outage {
	return outage{gate: g, wait: retry.Backoff{First: firstProbe, Last: lastProbe}}
}

func (o *outage) down() bool { return o.gate.is(TargetDown) }

// lasts reports whether the target has been down, and has answered nothing, for d.
func (o *outage) lasts(d time.Duration) bool { return o.down() && time.Since(o.since) >= d }

// failed notes that a call begun at started found the target down. It reports
// whether the outage begins. A call that began before the outage is no probe.
func (o *outage) failed(started, now time.Time) (begins bool) {
	if o.down() && started.Before(o.since) {
		return false
	}
	if begins = !o.down(); begins {
		o.since = now
		o.wait.Reset()
		o.gate.set(TargetDown, true)
	}
	o.probe = now.Add(o.wait.Next())
	return begins
}

// answered notes that a call begun at started got an answer. It reports whether
// that ends an outage. An answer to a call that began before the target went
// down says nothing.
func (o *outage) answered(started time.Time) (ended bool) {
	if !o.down() || started.Before(o.since) {
		return false
	}
	o.gate.set(TargetDown, false)
	return true
}
