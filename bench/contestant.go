package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// contestant is one way to consume.
type contestant struct {
	// Name is what --only takes.
	Name string
	// Note says how it is set up.
	Note string
	// reads is the stream that it reads; default: the whole stream.
	reads string
	// consume handles and acknowledges until ctx ends.
	consume func(context.Context, *round) error
	// prepare readies the round off the clock; default: a group at the
	// stream's beginning.
	prepare func(context.Context, *round) error
	// settled reports whether all that was handled is acknowledged; default:
	// nothing is pending.
	settled func(context.Context, *round) (bool, error)
	// verify asks the server once more when the contestant is gone; default:
	// nothing pending, nothing unread.
	verify func(context.Context, *round) error
}

// round is one contestant's turn over a stream.
type round struct {
	addr string
	// application is the URL that deliveries go to.
	application string
	control     *redis.Client // not the contestant's
	stream      string
	group       string
	messages    []string
	bodies      []body // of the messages, for who posts them
	handle      func(id string, payload []byte)
}

// result is what one turn took.
type result struct {
	Rate   float64 `json:"rate"`   // messages a second
	CPU    float64 `json:"cpu"`    // µs of this process for a message, kernel included
	Allocs float64 `json:"allocs"` // heap objects for a message
}

// turnLimit ends a contestant that hangs.
const turnLimit = 3 * time.Minute

// withDefaults fills in what a stream contestant needs.
func (c contestant) withDefaults() contestant {
	if c.prepare == nil {
		c.prepare = func(ctx context.Context, r *round) error {
			return r.control.XGroupCreate(ctx, r.stream, r.group, "0").Err()
		}
	}
	if c.settled == nil {
		c.settled = func(ctx context.Context, r *round) (bool, error) {
			return acknowledged(ctx, r.control, r.stream, r.group)
		}
	}
	if c.verify == nil {
		c.verify = func(ctx context.Context, r *round) error {
			err := drained(ctx, r.control, r.stream, r.group)
			return errors.Join(err, r.control.XGroupDestroy(ctx, r.stream, r.group).Err())
		}
	}
	return c
}

// turn runs the contestant over the round's messages. The clock starts with
// consume and stops when every message is handled and acknowledged; starting
// costs each contestant a few milliseconds of its turn, stopping costs none.
func (c contestant) turn(ctx context.Context, r *round) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, turnLimit)
	defer cancel()
	c = c.withDefaults()
	if err := c.prepare(ctx, r); err != nil {
		return result{}, fmt.Errorf("%s: prepare: %w", c.Name, err)
	}
	count := newTally(len(r.messages))
	r.handle = count.handle
	got, err := c.timed(ctx, r, count)
	err = errors.Join(err, count.verify())
	if err == nil {
		err = c.verify(ctx, r)
	}
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	return got, nil
}

func (c contestant) timed(ctx context.Context, r *round, count *tally) (result, error) {
	consuming, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	runtime.GC()
	from := now()
	go func() { ended <- c.consume(consuming, r) }()
	select {
	case <-count.done:
	case err := <-ended:
		stop()
		return result{}, fmt.Errorf("ended early: %w", orElse(err, errors.New("without an error")))
	case <-ctx.Done():
		stop()
		return result{}, errors.Join(ctx.Err(), <-ended)
	}
	err := c.awaitSettled(ctx, r)
	got := from.until(now(), len(r.messages))
	stop()
	return got, errors.Join(err, <-ended)
}

func orElse(err, other error) error {
	if err == nil {
		return other
	}
	return err
}

func (c contestant) awaitSettled(ctx context.Context, r *round) error {
	for {
		done, err := c.settled(ctx, r)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("handled, but not acknowledged: %w", ctx.Err())
		case <-time.After(200 * time.Microsecond):
		}
	}
}

// reading is what is read off the process at one moment.
type reading struct {
	at      time.Time
	cpu     time.Duration
	mallocs uint64
}

func now() reading {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	var use syscall.Rusage
	// The call fails only on a bad pointer.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	cpu := time.Duration(use.Utime.Nano() + use.Stime.Nano())
	return reading{at: time.Now(), cpu: cpu, mallocs: mem.Mallocs}
}

func (r reading) until(end reading, messages int) result {
	n := float64(messages)
	return result{
		Rate:   n / end.at.Sub(r.at).Seconds(),
		CPU:    float64((end.cpu - r.cpu).Microseconds()) / n,
		Allocs: float64(end.mallocs-r.mallocs) / n,
	}
}
