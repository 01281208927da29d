package collector

import "time"

// Health is what the snapshots of the last ten minutes, taken together, say of a
// subscription: a window rather than a threshold, as Burrow has it. It is "" until
// they span thirty seconds, and where its figures are unknown.
type Health string

const (
	// HealthOK is a subscription that is not behind, or gets on.
	HealthOK Health = "ok"
	// HealthSlow was behind throughout the window, and is no less behind at its end.
	HealthSlow Health = "slow"
	// HealthStalled was behind throughout and got nothing, or has an entry pending for
	// longer than the window while nothing was acknowledged.
	HealthStalled Health = "stalled"
	// HealthStopped has work, and none of its consumers has shown life.
	HealthStopped Health = "stopped"
	// HealthPaused is paused by hand.
	HealthPaused Health = "paused"
)

// Healths are all of them, the worst last but for one that is wanted.
var Healths = []Health{HealthOK, HealthSlow, HealthStalled, HealthStopped, HealthPaused}

const (
	// healthWindow is how far back snapshots count.
	healthWindow = 10 * time.Minute
	// healthSpan is how far apart the first and the last must be.
	healthSpan = 30 * time.Second
	// keptEvery is how far apart those are that are kept; of the others the lowest lag
	// is. A window of a thousand subscriptions is then a megabyte.
	keptEvery = time.Minute
	// lifeless is the least time without a sign of life that means something: engines
	// give one every twenty seconds.
	lifeless = time.Minute
)

// history keeps the window of each subscription. The collector's lock guards it.
type history map[Watch]*window

// judge adds what a source said at a time and notes in it each subscription's
// health. What has not been seen for the length of a window is forgotten.
func (h history) judge(at time.Time, subscriptions []Subscription) {
	for i := range subscriptions {
		sub := &subscriptions[i]
		w := h[sub.Watch]
		if w == nil {
			w = &window{}
			h[sub.Watch] = w
		}
		w.add(at, sub)
		sub.Health, sub.DrainSeconds = w.judge(sub)
	}
	for watch, w := range h {
		if at.Sub(w.last.at) > healthWindow {
			delete(h, watch)
		}
	}
}

// window are readings of one subscription, the oldest first, and the last one.
type window struct {
	kept []reading
	last reading
}

// reading is what a snapshot says of a subscription.
type reading struct {
	at      time.Time
	lag     Value
	lowest  Value // lag since then, up to the next one that is kept
	got     Value // entries read, or the position in an event store
	pending Value
}

// add appends a reading. A subscription whose count of entries goes back was moved,
// or is another one of the same name: its window begins anew.
func (w *window) add(at time.Time, sub *Subscription) {
	r := reading{at: at, lag: sub.Lag, lowest: sub.Lag, got: sub.EntriesRead, pending: sub.Pending}
	if r.got.Known && w.last.got.Known && r.got.V < w.last.got.V {
		w.kept = w.kept[:0]
	}
	w.last = r
	for len(w.kept) > 0 && at.Sub(w.kept[0].at) > healthWindow {
		w.kept = append(w.kept[:0], w.kept[1:]...)
	}
	if n := len(w.kept); n > 0 && at.Sub(w.kept[n-1].at) < keptEvery {
		w.kept[n-1].lowest = lesser(w.kept[n-1].lowest, r.lag)
		return
	}
	w.kept = append(w.kept, r)
}

// lesser is the smaller of two figures; one that is unknown proves nothing.
func lesser(a, b Value) Value {
	if !a.Known || b.Known && b.V < a.V {
		return b
	}
	return a
}

// judge names the health, and the seconds until nothing is left where the lag stayed
// above zero and falls.
func (w *window) judge(sub *Subscription) (Health, Value) {
	first, last := w.kept[0], w.last
	span := last.at.Sub(first.at)
	if sub.Paused == Known(1) {
		return HealthPaused, Value{}
	}
	if span < healthSpan || !first.lag.Known || !last.lag.Known {
		return "", Value{}
	}
	behind := true // throughout
	for _, r := range w.kept {
		behind = behind && r.lowest.Known && r.lowest.V > 0
	}
	behind = behind && last.lag.V > 0
	silent := sub.LastSeenSeconds.Known && sub.LastSeenSeconds.V > max(span, lifeless).Seconds()
	switch {
	case silent && (last.lag.V > 0 || last.pending.V > 0):
		return HealthStopped, Value{}
	case behind && first.got.Known && first.got == last.got:
		return HealthStalled, Value{}
	case sub.OldestPendingSeconds.V > healthWindow.Seconds() && !acknowledged(first, last):
		return HealthStalled, Value{}
	case behind && last.lag.V >= first.lag.V:
		return HealthSlow, Value{}
	case behind:
		return HealthOK, Known(last.lag.V / (first.lag.V - last.lag.V) * span.Seconds())
	}
	return HealthOK, Value{}
}

// acknowledged reports whether more was acknowledged between two readings than what
// the figures hide: what was got and is not pending any more.
func acknowledged(first, last reading) bool {
	got := 0.0
	if first.got.Known && last.got.Known {
		got = last.got.V - first.got.V
	}
	return got > last.pending.V-first.pending.V
}
