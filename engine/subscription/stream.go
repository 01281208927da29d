// Package subscription runs one handler against one stream of a broker: read,
// check, handle, settle.
//
// A message goes one way. The reader takes a batch from the broker, enters it
// in the ledger, and offers it to the dispatcher; the dispatcher decodes it and
// gives it to a worker; the worker calls the handler and hands it back; the
// dispatcher settles it: acknowledged, waiting on the side for another attempt,
// or parked in the dead-letter queue.
package subscription

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// closeTimeout bounds what a stopping subscription still tells the broker.
const closeTimeout = 3 * time.Second

// Stream is one handler on one stream.
type Stream struct {
	cfg    Config
	member Member
	source Source
	fn     handler.Func
	log    *slog.Logger

	instruments *instruments
	status      status
}

// New makes a subscription; it does not touch the broker yet.
func New(c Config, source Source, fn handler.Func, meter metric.Meter, log *slog.Logger) (*Stream, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Stream{
		cfg: c, source: source, fn: handler.Chain(fn, handler.Recover),
		member: Member{
			Stream: c.Stream, Group: c.Group, Consumer: consumerName(ShortName(c.Handler)), FromEnd: c.FromEnd,
		},
		log: log.With("component", "subscription", "handler", ShortName(c.Handler), "stream", c.Stream, "group", c.Group),
	}
	var err error
	if s.instruments, err = newInstruments(meter, c, &s.status); err != nil {
		return nil, fmt.Errorf("subscription %q on %q: %w", c.Handler, c.Stream, err)
	}
	return s, nil
}

// Status tells what the subscription is doing.
func (s *Stream) Status() Status {
	return Status{
		Domain: s.cfg.Domain, Handler: s.cfg.Handler, Group: s.cfg.Group, Stream: s.cfg.Stream,
		Joined: s.status.joined.Load(), Waiting: int(s.status.waiting.Load()), TargetDown: s.status.down.Load() == 1,
	}
}

// StuckError tells of handlers that did not return when their context ended.
type StuckError struct {
	Handler, Stream string
	Entries         []string
}

// Error names the handler and the entries.
func (e *StuckError) Error() string {
	return fmt.Sprintf("handler %q on %q ignored the end of its context; its entries were released: %s",
		e.Handler, e.Stream, strings.Join(e.Entries, ", "))
}

// Run consumes the stream until ctx ends. Then it stops reading; handlers under
// way go on until they are through or work ends, which ends their contexts.
// What was not finished is released, so that any consumer of the group may
// take it at once. A broker that is down is waited for.
//
// It returns a *StuckError for handlers that ignored the end of their context,
// and what went wrong while releasing.
func (s *Stream) Run(ctx, work context.Context) error {
	defer func() { _ = s.status.registration.Unregister() }()
	books, closeBooks := context.WithCancel(context.WithoutCancel(ctx))
	defer closeBooks()
	p := s.assemble(books)

	// Acknowledging goes on while handlers under way finish.
	acking, stopAcking := context.WithCancel(books)
	defer stopAcking()
	var owned sync.WaitGroup
	owned.Go(func() { p.reader.run(ctx) })
	owned.Go(func() { p.acker.run(acking) })
	p.employ(work)
	stuck := p.dispatcher.run(ctx, work, p.reader.batches)
	close(p.dispatcher.over)
	stopAcking()
	owned.Wait()
	if len(stuck) == 0 {
		p.employed.Wait()
	}
	return s.finish(p, stuck, closeBooks)
}

// parts are what one Run consists of.
type parts struct {
	reader     *reader
	acker      *acker
	dispatcher *dispatcher
	workers    []*worker
	employed   sync.WaitGroup
}

func (s *Stream) assemble(books context.Context) *parts {
	ledger := newLedger()
	r := &reader{
		cfg: s.cfg, member: s.member, source: s.source, ledger: ledger, log: s.log,
		batches: make(chan []*task), backoff: newBackoff(),
		onJoin: func() { s.status.joined.Store(true) },
	}
	seat := func() Seat { return *r.seat.Load() }
	r.acker = newAcker(ledger, seat)
	d := &dispatcher{
		cfg: s.cfg, member: s.member, ledger: ledger, acker: r.acker, seat: seat,
		decode: s.decode, instruments: s.instruments, status: &s.status, log: s.log,
		lanes: make(lanes), target: newTarget(), idle: s.cfg.Concurrency, running: make(map[*run]struct{}),
		runs: make(chan *run, s.cfg.Concurrency), finished: make(chan *run, s.cfg.Concurrency),
		done: make(chan func()), over: make(chan struct{}), books: books,
	}
	return &parts{reader: r, acker: r.acker, dispatcher: d, workers: s.workers(d)}
}

func (s *Stream) workers(d *dispatcher) []*worker {
	workers := make([]*worker, s.cfg.Concurrency)
	for i := range workers {
		workers[i] = &worker{
			fn: s.fn, timeout: s.cfg.HandlerTimeout, observe: s.instruments.called,
			runs: d.runs, finished: d.finished, over: d.over, stopping: &d.stopping,
		}
	}
	return workers
}

// employ starts the workers. They end when the dispatcher closes runs; one
// whose handler never returns is reported as stuck and cannot be waited for.
func (p *parts) employ(work context.Context) {
	for _, w := range p.workers {
		p.employed.Go(func() { w.loop(work) })
	}
}

// finish tells the broker what is done and what is given back.
func (s *Stream) finish(p *parts, stuck []*task, closeBooks context.CancelFunc) error {
	ctx, cancel := context.WithTimeout(p.dispatcher.books, closeTimeout)
	defer cancel()
	var errs []error
	if p.reader.seat.Load() != nil {
		errs = append(errs,
			insist(ctx, p.acker.flush),
			insist(ctx, p.reader.recoverRest),
			insist(ctx, func(ctx context.Context) error { return s.release(ctx, p, stuck) }))
	}
	closeBooks()
	p.dispatcher.background.Wait()
	if len(stuck) > 0 {
		errs = append(errs, s.stuckError(stuck))
	}
	return errors.Join(errs...)
}

// insist tries until fn succeeds or ctx ends: nobody comes after it.
func insist(ctx context.Context, fn func(context.Context) error) error {
	for backoff := newBackoff(); ; {
		err := fn(ctx)
		if err == nil || !sleep(ctx, backoff.next()) {
			return err
		}
	}
}

// release gives back what is held: what was not finished, and what was finished
// and could not be acknowledged, which is then handled again rather than never.
func (s *Stream) release(ctx context.Context, p *parts, stuck []*task) error {
	running := make(map[*task]bool, len(stuck))
	for _, t := range stuck {
		running[t] = true
	}
	var held []Held
	for _, t := range p.dispatcher.ledger.rest() {
		held = append(held, t.held(running[t]))
	}
	if len(held) == 0 {
		return nil
	}
	s.log.Info("releasing what was not finished", "entries", len(held))
	return p.dispatcher.ledger.settle(func() ([]string, error) {
		if _, err := p.dispatcher.seat().Release(ctx, held); err != nil {
			return nil, fmt.Errorf("%d entries of %q could not be released and stay pending for consumer %q: %w",
				len(held), s.cfg.Stream, s.member.Consumer, err)
		}
		return nil, nil
	})
}

func (s *Stream) stuckError(stuck []*task) error {
	e := &StuckError{Handler: s.cfg.Handler, Stream: s.cfg.Stream}
	for _, t := range stuck {
		e.Entries = append(e.Entries, t.delivery.ID)
	}
	return e
}

// decode reads an entry in the subscription's format and verifies it.
func (s *Stream) decode(d message.Delivery) (message.Envelope, error) {
	switch s.cfg.Format {
	case handler.FormatFields:
		return message.FromFields(d)
	case handler.FormatObject:
		return message.FromObject(d)
	}
	e, err := message.FromDelivery(d)
	if err == nil && !s.cfg.SkipChecksums {
		err = e.Verify()
	}
	return e, err
}

// consumerName is unique to this process and start, as the original's is.
func consumerName(handler string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	var random [3]byte
	_, _ = rand.Read(random[:]) // never fails
	return fmt.Sprintf("%s-%s-%d-%s", handler, host, os.Getpid(), hex.EncodeToString(random[:]))
}
