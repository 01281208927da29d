package subscription

import (
	"slices"
	"time"

	"github.com/observatory-go/observatory/engine/retry"
)

const (
	// firstProbe and lastProbe are the waits between probes of a target that is
	// down.
	firstProbe = 100 * time.Millisecond
	lastProbe  = 5 * time.Second
	// aloneWait is how long a message waits that found the target down while others
	// are answered. It doubles with each time, lastDoubling times.
	aloneWait    = 100 * time.Millisecond
	lastDoubling = 6
	// probesInARow is how many messages that have not found the target down are
	// tried one after the other before the next wait, where the messages may be the
	// cause.
	probesInARow = 10
	// downAfter is how many messages in a row find the target down before it is held
	// to be so, where it answered another less than answeredLately ago. Fewer say
	// nothing of the others.
	downAfter      = 10
	answeredLately = time.Second
	// tooMany is the share of messages whose first call finds the target down above
	// which the target is the cause and not the messages; it is a mean of about the
	// last shareOf messages.
	tooMany = 0.25
	shareOf = 100
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
	gate     *gate
	share    float64   // of the messages whose first call found it down, of late
	suspects []*Task   // that found it down since it answered, and may be the cause
	crasher  *Task     // the first that found it down since it answered, if that call was cut off
	reached  bool      // some message that found it down since it answered may be the cause
	downs    int       // messages that found it so since, but for those that did before
	lastDown time.Time // when the last call ended that found it so
	answer   time.Time // when the target last answered
	since    time.Time
	probe    time.Time // when the next probe is due
	probes   int       // since the last wait
	wait     retry.Backoff
}

func newOutage(g *gate) outage {
	return outage{gate: g, wait: retry.Backoff{First: firstProbe, Last: lastProbe}}
}

func (o *outage) down() bool { return o.gate.is(TargetDown) }

// lasts reports whether the target has been down, and has answered nothing, for d.
func (o *outage) lasts(d time.Duration) bool { return o.down() && time.Since(o.since) >= d }

// answersOthers reports whether the target is up, answers most messages, and did not
// go down over another than t.
func (o *outage) answersOthers(t *Task) bool {
	return !o.down() && o.share <= tooMany && (o.crasher == nil || o.crasher == t)
}

// count notes what the first call of a message came to. Probes say nothing of how
// many messages find the target down.
func (o *outage) count(down bool) {
	if o.down() {
		return
	}
	o.share -= o.share / shareOf
	if down {
		o.share += 1. / shareOf
	}
}

// failed notes that a call found the target down. It reports whether the outage
// begins. While it lasts, a call that is no probe says nothing. untried says that
// there is a message which has not found the target down.
func (o *outage) failed(t *Task, untried bool) (begins bool) {
	now := time.Now()
	switch {
	case o.down() && !t.probe:
		return false
	case o.down():
		if !t.unreached && !t.downAloneCounted && !slices.Contains(o.suspects, t) {
			o.suspects = append(o.suspects, t)
		}
		o.reached = o.reached || !t.unreached
		if o.probes++; untried && !t.unreached && o.probes < probesInARow {
			o.probe = now
			return false
		}
		o.probes = 0
		o.probe = now.Add(o.wait.Next())
		return false
	}
	if o.lastDown.IsZero() && t.cut {
		o.crasher = t
	}
	if !t.unreached && !t.downAloneCounted {
		o.suspects = append(o.suspects, t)
	}
	o.reached = o.reached || !t.unreached
	o.lastDown = now
	if t.downs == 1 || t.unreached { // else it says little of the others
		o.downs++
	}
	// A connection may be cut because both sides were about to close it.
	if o.downs < downAfter && (now.Sub(o.answer) < answeredLately || t.cut && t.downs == 1) {
		return false
	}
	o.downs, o.since, o.probes = 0, now, 0
	o.wait.Reset()
	o.probe = now.Add(o.wait.Next())
	o.gate.set(TargetDown, true)
	return true
}

// answered notes that a call got an answer. It reports whether that ends an outage,
// and which messages found the target down, as their own matter, since it last
// answered. An answer to a call that began before the target went down says nothing.
func (o *outage) answered(t *Task) (ended bool, alone []*Task) {
	at := t.started.Add(t.took)
	if at.After(o.answer) {
		o.answer = at
	}
	switch {
	case o.down() && !t.started.Before(o.since):
		o.gate.set(TargetDown, false)
		ended = true
	case o.down(), o.lastDown.IsZero(), !at.After(o.lastDown):
		return false, nil
	}
	switch {
	case o.share > tooMany:
	case o.crasher != nil && o.crasher.downAloneCounted:
	case o.crasher != nil:
		alone = []*Task{o.crasher}
	default:
		alone = o.suspects
	}
	o.suspects, o.crasher, o.reached, o.downs, o.lastDown = nil, nil, false, 0, time.Time{}
	return ended, alone
}
