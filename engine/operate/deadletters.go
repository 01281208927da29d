package operate

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
)

// DeadLetters is what an operator can do with the dead letters of one domain. Its
// methods may be called side by side. It closes nothing that it was given.
type DeadLetters struct {
	catalog Catalog
	others  deadletter.Queue
	by      string
	log     *slog.Logger
}

// NewDeadLetters returns the dead letters of the subscriptions in a catalog. Those of
// a stream that is not in it are among others; nil for none. What is changed is logged
// as done by somebody.
func NewDeadLetters(catalog Catalog, others deadletter.Queue, by string, log *slog.Logger) *DeadLetters {
	return &DeadLetters{catalog: catalog, others: others, by: by, log: log.With("component", "operate")}
}

// Query says which dead letters are meant.
type Query struct {
	// Stream is the stream whose queue is meant, which need not be of the catalog; ""
	// means those of all subscriptions.
	Stream string
	// Filter says which of its dead letters are. Its Handler may be the full or the
	// short name of a handler of the catalog.
	deadletter.Filter
}

// DeadLetter is a dead letter and the handler that gave the message up, by its full
// name, where it is in the catalog; else by the name of its consumer group.
type DeadLetter struct {
	deadletter.Stored
	Handler string
}

// selection is a query against the catalog.
type selection struct {
	streams []string
	filter  deadletter.Filter
	queues
}

// queues are the subscriptions that have dead-letter queues.
type queues struct {
	all    []Subscription
	others deadletter.Queue
}

func (d *DeadLetters) queues() (queues, error) {
	all, err := d.catalog()
	return queues{slices.DeleteFunc(slices.Clone(all), func(one Subscription) bool { return one.DeadLetters == nil }), d.others}, err
}

// of is where the queue of a stream is.
func (q queues) of(stream string) (deadletter.Queue, error) {
	for _, one := range q.all {
		if one.Stream == stream {
			return one.DeadLetters, nil
		}
	}
	if q.others == nil {
		return nil, fmt.Errorf("stream %q: no handler of the file reads it from a server, and [brokers.default] is none that has dead letters", stream)
	}
	return q.others, nil
}

func (d *DeadLetters) selected(q Query) (s selection, err error) {
	if s.queues, err = d.queues(); err != nil {
		return s, err
	}
	s.filter = q.Filter
	mine := s.all
	if q.Handler != "" {
		found, err := named(s.all, q.Handler)
		if err != nil && q.Stream == "" {
			return s, fmt.Errorf("%w; for a handler that is not in the file name its stream too", err)
		}
		if mine = found; err != nil {
			mine = nil
		}
		for _, one := range found {
			s.filter.Groups = append(s.filter.Groups, one.Group)
		}
	}
	if q.Stream != "" {
		s.streams = []string{strings.TrimSuffix(q.Stream, deadletter.Suffix)}
		return s, nil
	}
	for _, one := range mine {
		if !slices.Contains(s.streams, one.Stream) {
			s.streams = append(s.streams, one.Stream)
		}
	}
	if len(s.streams) == 0 {
		return s, errors.New("the file has no handler that reads a stream: name a stream, or add [observatory.handlers.<name>] to the file")
	}
	return s, nil
}

// handlerOf is the handler of a group on a stream.
func (q queues) handlerOf(stream, group string) string {
	for _, one := range q.all {
		if one.Stream == stream && one.Group == group {
			return one.Handler
		}
	}
	return group
}

// owned are the groups of a stream that are in the catalog.
func (q queues) owned(stream string) (groups []string) {
	for _, one := range q.all {
		if one.Stream == stream {
			groups = append(groups, one.Group)
		}
	}
	return groups
}

// Each calls fn for the dead letters that are meant, stream by stream, oldest first,
// and reads them in pages. A stream that cannot be read is in the error, and the
// others go on; an error of fn ends all.
func (d *DeadLetters) Each(ctx context.Context, q Query, fn func(DeadLetter) error) error {
	s, err := d.selected(q)
	if err != nil {
		return err
	}
	var errs []error
	for _, stream := range s.streams {
		var ended error
		queue, err := s.of(stream)
		if err == nil {
			err = deadletter.Each(ctx, queue, stream, s.filter, func(one deadletter.Stored) error {
				ended = fn(DeadLetter{one, s.handlerOf(stream, one.Metadata.ConsumerGroup)})
				return ended
			})
		}
		if ended != nil || ctx.Err() != nil {
			return errors.Join(append(errs, err)...)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ReplayPlan is which dead letters are to be replayed.
type ReplayPlan struct {
	selection
	plans []*deadletter.Plan
}

// Target is a group that is to get messages again, and how many.
type Target struct {
	Stream, Group, Handler string
	Messages               int
}

// Targets are the groups that would get messages, in the order of streams and groups.
func (p *ReplayPlan) Targets() (all []Target) {
	for _, plan := range p.plans {
		for group, n := range plan.Groups() {
			all = append(all, Target{plan.Stream, group, p.handlerOf(plan.Stream, group), n})
		}
	}
	slices.SortFunc(all, func(a, b Target) int { return strings.Compare(a.Stream+" "+a.Group, b.Stream+" "+b.Group) })
	return all
}

// Matched is how many dead letters are meant.
func (p *ReplayPlan) Matched() (n int) {
	for _, plan := range p.plans {
		n += plan.Matched()
	}
	return n
}

// PlanReplay reads which dead letters are meant, and changes nothing.
func (d *DeadLetters) PlanReplay(ctx context.Context, q Query) (*ReplayPlan, error) {
	s, err := d.selected(q)
	if err != nil {
		return nil, err
	}
	p := &ReplayPlan{selection: s}
	for _, stream := range s.streams {
		queue, err := s.of(stream)
		if err != nil {
			return nil, err
		}
		plan, err := deadletter.NewPlan(ctx, queue, stream, s.filter)
		if err != nil {
			return nil, err
		}
		if plan.Matched() > 0 {
			p.plans = append(p.plans, plan)
		}
	}
	return p, nil
}

// Replay delivers the messages of a plan again, each to the group that gave it up and
// to no other, in the order of the originals, with its attempts counted anew. Where it
// is interrupted each message was replayed or is still in the queue: another plan
// takes the rest. It returns what was done also with an error.
func (d *DeadLetters) Replay(ctx context.Context, p *ReplayPlan, o deadletter.ReplayOptions) (done deadletter.Replayed, err error) {
	progress := o.Progress
	for _, plan := range p.plans {
		queue, err := p.of(plan.Stream)
		if err != nil {
			return done, err
		}
		before := done
		o.Owned = p.owned(plan.Stream)
		if o.Progress = nil; progress != nil {
			o.Progress = func(now deadletter.Replayed) { progress(sum(before, now)) }
		}
		now, err := plan.Run(ctx, queue, o)
		done = sum(before, now)
		d.log.InfoContext(ctx, "dead letters replayed", "by", d.by, "stream", plan.Stream, "filter", p.filter.String(), "matched", now.Matched,
			"delivered", now.Delivered, "already_pending", now.AlreadyPending, "copied", now.Copied, "gone", now.Gone)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// sum adds up what was done.
func sum(a, b deadletter.Replayed) deadletter.Replayed {
	total := deadletter.Replayed{
		Matched: a.Matched + b.Matched, Delivered: a.Delivered + b.Delivered, AlreadyPending: a.AlreadyPending + b.AlreadyPending,
		Copied: a.Copied + b.Copied, Gone: a.Gone + b.Gone, Left: map[string]int{},
	}
	for _, left := range []map[string]int{a.Left, b.Left} {
		for why, n := range left {
			total.Left[why] += n
		}
	}
	return total
}

// exported is a line of an export: one dead letter, byte for byte.
type exported struct {
	Stream     string          `json:"stream"`
	DeadLetter string          `json:"dead_letter"`
	Fields     []exportedField `json:"fields"`
}

// exportedField has the value as text, or where that is not UTF-8 in base64.
type exportedField struct {
	Name   string  `json:"name"`
	Value  *string `json:"value,omitempty"`
	Base64 []byte  `json:"base64,omitempty"`
}

// Export writes the dead letters that are meant, one JSON object a line, and returns
// how many there were. [DeadLetters.Import] puts them back.
func (d *DeadLetters) Export(ctx context.Context, q Query, to io.Writer) (n int, err error) {
	w := json.NewEncoder(to)
	w.SetEscapeHTML(false)
	err = d.Each(ctx, q, func(one DeadLetter) error {
		n++
		return w.Encode(lineOf(one.Stored))
	})
	return n, err
}

func lineOf(s deadletter.Stored) exported {
	line := exported{Stream: s.Stream, DeadLetter: s.ID, Fields: []exportedField{}}
	for _, f := range s.Fields {
		field := exportedField{Name: f.Name}
		if utf8.Valid(f.Value) {
			field.Value = new(string(f.Value))
		} else {
			field.Base64 = f.Value
		}
		line.Fields = append(line.Fields, field)
	}
	return line
}

// importBatch is how many dead letters are put back at once.
const importBatch = 100

// Imported is what became of an import.
type Imported struct {
	// Added were put back, and Present were in their queue already.
	Added, Present int
}

// Import puts back what Export wrote, in its order. A dead letter that is in its queue
// already, byte for byte, is passed over, so that an import that was interrupted may
// be made again. It gets a new id there, and stays as long as one that is new.
func (d *DeadLetters) Import(ctx context.Context, from io.Reader) (done Imported, err error) {
	queues, err := d.queues()
	if err != nil {
		return done, err
	}
	present := map[string]map[string]bool{} // contents of the queue, by stream
	var stream string
	var queue deadletter.Queue // the stream's
	var batch [][]message.Field
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := queue.AddDeadLetters(ctx, stream, batch)
		if err == nil {
			done.Added += len(batch)
		}
		batch = batch[:0:0]
		return err
	}
	defer func() {
		if done.Added > 0 {
			d.log.InfoContext(ctx, "dead letters imported", "by", d.by, "added", done.Added, "present", done.Present)
		}
	}()
	lines := bufio.NewReader(from)
	for number := 1; ; number++ {
		text, readErr := lines.ReadBytes('\n')
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			return done, fmt.Errorf("line %d: %w", number, readErr)
		}
		if len(strings.TrimSpace(string(text))) > 0 {
			line, fields, err := parseLine(text)
			if err != nil {
				return done, errors.Join(fmt.Errorf("line %d: %w", number, err), flush())
			}
			if line.Stream != stream || len(batch) == importBatch {
				if err := flush(); err != nil {
					return done, err
				}
				stream = line.Stream
				if queue, err = queues.of(stream); err != nil {
					return done, fmt.Errorf("line %d: %w", number, err)
				}
			}
			if present[stream] == nil {
				if present[stream], err = contents(ctx, queue, stream); err != nil {
					return done, err
				}
			}
			if content := contentOf(fields); present[stream][content] {
				done.Present++
			} else {
				present[stream][content] = true
				batch = append(batch, fields)
			}
		}
		if readErr != nil {
			return done, flush()
		}
	}
}

func parseLine(text []byte) (line exported, fields []message.Field, err error) {
	const expected = `expected a line of an export: {"stream": …, "dead_letter": …, "fields": [{"name": …, "value": …}, …]}`
	if err := json.Unmarshal(text, &line); err != nil {
		return line, nil, fmt.Errorf("%w: %s", err, expected)
	}
	if line.Stream == "" || len(line.Fields) == 0 {
		return line, nil, errors.New(expected)
	}
	if of, isQueue := strings.CutSuffix(line.Stream, deadletter.Suffix); isQueue {
		return line, nil, fmt.Errorf("stream %q is a dead-letter queue: expected the stream that it belongs to, %q", line.Stream, of)
	}
	for _, f := range line.Fields {
		value := f.Base64
		if f.Value != nil {
			value = []byte(*f.Value)
		}
		fields = append(fields, message.Field{Name: f.Name, Value: value})
	}
	return line, fields, nil
}

// contents are the fields of all entries of a queue.
func contents(ctx context.Context, queue deadletter.Queue, stream string) (map[string]bool, error) {
	all := map[string]bool{}
	err := deadletter.Each(ctx, queue, stream, deadletter.Filter{}, func(s deadletter.Stored) error {
		all[contentOf(s.Fields)] = true
		return nil
	})
	return all, err
}

// Purge deletes the dead letters that are meant and returns how many there were. With
// an export (nil for none) each is written there first, as Export does, and deleted
// once flush has returned. What comes into a queue meanwhile stays.
func (d *DeadLetters) Purge(ctx context.Context, q Query, export io.Writer, flush func() error) (deleted int, err error) {
	s, err := d.selected(q)
	if err != nil {
		return 0, err
	}
	ids := map[string][]string{}
	w := json.NewEncoder(io.Discard)
	if export != nil {
		w = json.NewEncoder(export)
	}
	w.SetEscapeHTML(false)
	err = d.Each(ctx, q, func(one DeadLetter) error {
		ids[one.Stream] = append(ids[one.Stream], one.ID)
		return w.Encode(lineOf(one.Stored))
	})
	if err == nil && flush != nil {
		err = flush()
	}
	if err != nil {
		return 0, err
	}
	for _, stream := range s.streams {
		queue, err := s.of(stream)
		if err != nil {
			return deleted, err
		}
		n, err := queue.DeleteDeadLetters(ctx, stream, ids[stream])
		deleted += n
		if n > 0 {
			d.log.InfoContext(ctx, "dead letters purged", "by", d.by, "stream", stream, "filter", s.filter.String(), "deleted", n)
		}
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// Trim deletes the dead letters that were added to the queues of a stream, or of all
// streams of the catalog, before a time, and returns how many there were.
func (d *DeadLetters) Trim(ctx context.Context, stream string, before time.Time) (trimmed int, err error) {
	s, err := d.selected(Query{Stream: stream})
	if err != nil {
		return 0, err
	}
	for _, stream := range s.streams {
		queue, err := s.of(stream)
		if err != nil {
			return trimmed, err
		}
		n, err := queue.TrimDeadLetters(ctx, stream, before)
		trimmed += n
		if n > 0 {
			d.log.InfoContext(ctx, "dead letters trimmed", "by", d.by, "stream", stream, "before", before.UTC().Format(time.RFC3339), "trimmed", n)
		}
		if err != nil {
			return trimmed, err
		}
	}
	return trimmed, nil
}

// ShortHandler is the name of the handler as alerts and metrics have it.
func (d DeadLetter) ShortHandler() string { return subscription.ShortName(d.Handler) }

// contentOf tells entries apart by their fields.
func contentOf(fields []message.Field) string {
	h := sha256.New()
	for _, f := range fields {
		fmt.Fprintf(h, "%d %s%d ", len(f.Name), f.Name, len(f.Value))
		h.Write(f.Value)
	}
	return string(h.Sum(nil))
}
