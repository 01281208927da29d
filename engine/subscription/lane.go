package subscription

import (
	"context"
	"time"

	"github.com/observatory-go/observatory/engine/retry"
)

const (
	// quietAfter is for how long a read of the primary lane has found nothing when it
	// counts as having nothing.
	quietAfter = 100 * time.Millisecond
	// backfillInterval is the time from one message of a backfill lane to the next
	// while the primary lane has messages.
	backfillInterval = time.Second
	// backfillPause is how often the primary lane is checked meanwhile.
	backfillPause = 20 * time.Millisecond
)

// lane is the place of a backfill lane behind its primary lane. It belongs to the
// goroutine that reads.
type lane struct {
	primary *Runner
	read    time.Time // when it last read while the primary lane had messages
}

// YieldTo makes this the backfill lane of primary: it reads while primary has
// nothing to read or cannot, and otherwise one message a second. What it has read
// it finishes beside primary. It is called before Run.
func (r *Runner) YieldTo(primary *Runner) { r.lane = &lane{primary: primary} }

// turn waits until the lane may read, and returns how many of n messages it may; 0
// where ctx has ended.
func (l *lane) turn(ctx context.Context, n int) int {
	for !l.primary.isQuiet() {
		if time.Since(l.read) >= backfillInterval {
			l.read = time.Now()
			return 1
		}
		if !retry.Sleep(ctx, backfillPause) {
			return 0
		}
	}
	return n
}

// isQuiet reports whether there is nothing to read, or nothing may be read.
func (r *Runner) isQuiet() bool {
	since := r.status.readingSince.Load()
	return r.status.gate.holdsReading() || since != 0 && time.Since(time.Unix(0, since)) >= quietAfter
}
