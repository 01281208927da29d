package subscription

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/message"
)

const (
	// longestBlock bounds one blocking read, so that stopping is prompt: a
	// client does not interrupt a read under way.
	longestBlock = time.Second
	// adoptEvery is how often entries of departed engines are looked for.
	adoptEvery = time.Second
)

// reader brings entries from the broker into the ledger and offers them to the
// dispatcher, one batch at a time: while a batch is not taken, none is read.
type reader struct {
	cfg    Config
	member Member
	source Source
	seat   atomic.Pointer[Seat]
	ledger *ledger
	acker  *acker
	log    *slog.Logger

	// batches is unbuffered: what is sent is in the dispatcher's hands.
	batches chan []*task

	backoff *backoff
	down    bool
	full    bool // the last read was full: more is waiting
	adopted time.Time
	// doubt says that a reply was lost since this consumer's entries were last
	// listed, and relist when a read that the server did not give up is over for
	// certain.
	doubt  bool
	relist time.Time
	// onJoin is called once, when the seat is taken for the first time.
	onJoin func()
}

// run reads until ctx ends.
func (r *reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.session(ctx); err != nil {
			r.doubt, r.relist = true, time.Now().Add(2*longestBlock)
			r.failed(ctx, err)
		}
	}
}

// session joins the group, recovers what is pending for this consumer, and
// reads until something fails: what a lost reply contained is then pending
// here and known to nobody, so every session begins with the listing.
func (r *reader) session(ctx context.Context) error {
	seat, err := r.source.Join(ctx, r.member)
	if err != nil {
		return err
	}
	r.seat.Store(&seat)
	if err := r.recoverOwn(ctx, seat); err != nil {
		return err
	}
	r.joined()
	for ctx.Err() == nil {
		if err := r.turn(ctx, seat); err != nil {
			return err
		}
		r.recovered()
		if r.cfg.TickInterval > 0 && !sleep(ctx, r.cfg.TickInterval) {
			return nil
		}
	}
	return nil
}

// turn is one round of the session.
func (r *reader) turn(ctx context.Context, seat Seat) error {
	if r.relisting() {
		if err := r.recoverOwn(ctx, seat); err != nil {
			return err
		}
		r.relist = time.Time{}
	}
	if err := r.adopt(ctx, seat); err != nil {
		return err
	}
	return r.read(ctx, seat)
}

// relisting says that the listing at the session's start may have come too
// early: where only this side of a connection was cut, the server goes on with
// a blocking read for up to a second, and gives it entries.
func (r *reader) relisting() bool { return !r.relist.IsZero() && time.Now().After(r.relist) }

// read takes one batch, acknowledging on the way. It waits for entries only
// when there is nothing to acknowledge and the last read was not full.
func (r *reader) read(ctx context.Context, seat Seat) error {
	var got []message.Delivery
	err := r.acker.carry(func(acks []string) (acked bool, err error) {
		req := Read{Max: r.cfg.MessagesPerTick, Acks: acks}
		if len(acks) > 0 || r.full {
			got, acked, err = seat.Read(ctx, req)
			return acked, err
		}
		return true, nil
	})
	if err != nil {
		r.offer(ctx, r.ledger.enter(got, freshlyRead))
		return err
	}
	if len(got) == 0 && !r.full {
		got, err = r.wait(ctx, seat)
	}
	r.full = len(got) >= r.cfg.MessagesPerTick
	r.offer(ctx, r.ledger.enter(got, freshlyRead))
	return err
}

// wait is a blocking read.
func (r *reader) wait(ctx context.Context, seat Seat) ([]message.Delivery, error) {
	r.acker.readerBusy.Store(true)
	defer r.acker.readerBusy.Store(false)
	if r.acker.waiting() {
		return nil, nil // finished in the meantime: acknowledge first
	}
	got, _, err := seat.Read(ctx, Read{
		Max: r.cfg.MessagesPerTick, Block: min(r.cfg.BlockingTimeout, longestBlock),
	})
	return got, err
}

// recoverOwn offers what is pending for this consumer and not in the ledger.
func (r *reader) recoverOwn(ctx context.Context, seat Seat) error {
	return r.listOwn(ctx, seat, func(found []*task) { r.offer(ctx, found) })
}

// recoverRest enters into the ledger, to be released, what a lost reply has left
// behind at the end.
func (r *reader) recoverRest(ctx context.Context) error {
	if !r.doubt {
		return nil
	}
	return r.listOwn(ctx, *r.seat.Load(), func([]*task) {})
}

// listOwn enters what is pending for this consumer and unknown, page by page.
func (r *reader) listOwn(ctx context.Context, seat Seat, found func([]*task)) error {
	for after := ""; ; {
		var unknown []*task
		var own []message.Delivery
		err := r.ledger.compare(func() (err error) {
			own, _, err = seat.Pending(ctx, after, r.cfg.MessagesPerTick)
			unknown = r.ledger.enter(own, announced)
			return err
		})
		if err != nil {
			return err
		}
		if len(unknown) > 0 {
			r.log.WarnContext(ctx, "found entries that were delivered and never seen", "entries", len(unknown))
			found(unknown)
		}
		if len(own) < r.cfg.MessagesPerTick {
			r.doubt = false
			return nil
		}
		after = own[len(own)-1].ID
	}
}

// adopt takes all entries that departing engines released, before any newer one
// is read.
func (r *reader) adopt(ctx context.Context, seat Seat) error {
	if time.Since(r.adopted) < adoptEvery {
		return nil
	}
	for ctx.Err() == nil {
		got, _, err := seat.ClaimReleased(ctx, r.cfg.MessagesPerTick)
		if err != nil {
			return err
		}
		r.offer(ctx, r.ledger.enter(got, adopted))
		if len(got) < r.cfg.MessagesPerTick {
			break
		}
	}
	r.adopted = time.Now()
	return nil
}

// offer hands tasks to the dispatcher; it waits until they are taken. At the
// end of ctx they stay in the ledger, from which they are released.
func (r *reader) offer(ctx context.Context, tasks []*task) {
	if len(tasks) == 0 {
		return
	}
	select {
	case r.batches <- tasks:
	case <-ctx.Done():
	}
}

func (r *reader) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if !r.down {
		r.down = true
		r.log.ErrorContext(ctx, "cannot read; trying again until it works", "error", err)
	}
	sleep(ctx, r.backoff.next())
}

// recovered notes that a read worked.
func (r *reader) recovered() {
	if r.down {
		r.down = false
		r.log.Info("reading again")
	}
	r.backoff.reset()
}

func (r *reader) joined() {
	if r.onJoin != nil {
		r.onJoin()
		r.onJoin = nil
	}
}

// What the broker has on record for an entry differs by how it was got: a read
// counts itself as one, a release writes the calls made.
func freshlyRead(message.Delivery) int { return 1 }
func announced(d message.Delivery) int { return d.Attempts + 1 }
func adopted(d message.Delivery) int   { return d.Attempts }
