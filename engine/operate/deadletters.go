package operate

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
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
	brokers map[string]deadletter.Queue
	by      string
	log     *slog.Logger
}

// NewDeadLetters returns the dead letters that brokers have of the subscriptions in a
// catalog, and of other streams. A broker that no other process reads, or that has no
// dead-letter queues, is not among them. What is changed is logged as done by somebody.
func NewDeadLetters(catalog Catalog, brokers map[string]deadletter.Queue, by string, log *slog.Logger) *DeadLetters {
	return &DeadLetters{catalog: catalog, brokers: brokers, by: by, log: log.With("component", "operate")}
}

// Query says which dead letters are meant.
type Query struct {
	// Stream is the stream whose queue is meant, which need not be of the catalog; ""
	// means those of all subscriptions.
	Stream string
	// Broker is the broker whose queues are meant. By "" a stream is that of the broker
	// on which the catalog has it, or else of the only broker that has a queue of it.
	Broker string
	// Filter says which of its dead letters are. Its Handler may be the full or the
	// short name of a handler of the catalog.
	deadletter.Filter

	exactly []DeadLetter // by [DeadLetters.Exactly]; nil where the filter decides
}

// DeadLetter is a dead letter and the handler that gave the message up, by its full
// name, where it is in the catalog; else by the name of its consumer group.
type DeadLetter struct {
	deadletter.Stored
	// Broker is the name of the broker that has the queue.
	Broker  string
	Handler string
}

// place is a stream of a broker.
type place struct{ broker, stream string }

// selection is a query against the catalog.
type selection struct {
	places  []place
	filter  deadletter.Filter
	exactly []DeadLetter
	all     []Subscription
}

func (d *DeadLetters) selected(ctx context.Context, q Query) (s selection, err error) {
	if s.all, err = d.catalog(); err != nil {
		return s, err
	}
	s.filter, s.exactly = q.Filter, q.exactly
	if err := d.check(q.Broker); err != nil {
		return s, err
	}
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
		at, err := d.placeOf(ctx, s.all, strings.TrimSuffix(q.Stream, deadletter.Suffix), q.Broker)
		s.places = []place{at}
		return s, err
	}
	var stored []string // handlers of the event store
	elsewhere := 0
	for _, one := range mine {
		at := place{one.Broker, one.Stream}
		switch _, has := d.brokers[one.Broker]; {
		case one.Type == eventStore:
			if !slices.Contains(stored, one.Handler) {
				stored = append(stored, one.Handler)
			}
		case !has, q.Broker != "" && q.Broker != one.Broker:
			elsewhere++
		case !slices.Contains(s.places, at):
			s.places = append(s.places, at)
		}
	}
	switch {
	case len(s.places) > 0:
		return s, nil
	case len(stored) > 0 && elsewhere == 0:
		return s, fmt.Errorf("%w: %s", ErrEventStore, strings.Join(stored, ", "))
	case len(d.brokers) == 0:
		return s, errors.New(`the brokers of the file are in the memory of the process that serves it, or are not opened: there is no server to read dead letters from; expected provider = "redis" and a URI`)
	case elsewhere > 0:
		return s, errors.New("none of these handlers reads a broker that is meant and is a server: name a stream too")
	}
	return s, errors.New("the file has no handler that reads a stream: name a stream, or add [observatory.handlers.<name>] to the file")
}

// ErrEventStore is returned where all handlers that are meant read the event store.
var ErrEventStore = errors.New("what handlers of the event store give up on is in no dead-letter queue: it stays in the store, recorded there as Exhausted")

// EventStoreHandlers are the handlers of the catalog that read the event store, by
// their full names. What they give up on is recorded there, and is in no queue.
func (d *DeadLetters) EventStoreHandlers() (names []string) {
	all, _ := d.catalog() // its error is that of what is asked for
	for _, one := range all {
		if one.Type == eventStore && !slices.Contains(names, one.Handler) {
			names = append(names, one.Handler)
		}
	}
	return names
}

// names are those of the brokers.
func (d *DeadLetters) names() []string { return slices.Sorted(maps.Keys(d.brokers)) }

// check says that a broker that is named has no dead letters to read.
func (d *DeadLetters) check(broker string) error {
	if broker == "" || d.brokers[broker] != nil {
		return nil
	}
	return fmt.Errorf("broker %q is none of the file that is a server and has dead letters: expected one of %s", broker, cmp.Or(strings.Join(d.names(), ", "), "none"))
}

// placeOf is where the queue of a stream is: on a broker that is named, on that of the
// stream's handlers, or else on the only one that has such a queue.
func (d *DeadLetters) placeOf(ctx context.Context, all []Subscription, stream, broker string) (place, error) {
	if broker != "" {
		return place{broker, stream}, d.check(broker)
	}
	for _, one := range all {
		if one.Stream != stream || one.Type == eventStore {
			continue
		}
		if d.brokers[one.Broker] == nil {
			return place{}, fmt.Errorf("stream %q is in the memory of the process that serves [brokers.%s]: no other reads its dead letters", stream, one.Broker)
		}
		return place{one.Broker, stream}, nil
	}
	names := d.names()
	if len(names) == 0 {
		return place{}, fmt.Errorf("stream %q: the file has no broker that is a server and has dead letters", stream)
	}
	if len(names) == 1 {
		return place{names[0], stream}, nil
	}
	var have []string
	for _, name := range names {
		state, err := d.brokers[name].State(ctx, stream)
		if err != nil {
			return place{}, fmt.Errorf("no handler of the file reads the stream %q, and whether the broker %q has it cannot be seen; name the broker: %w", stream, name, err)
		}
		if state.Depth > 0 {
			have = append(have, name)
		}
	}
	switch {
	case len(have) > 1:
		return place{}, fmt.Errorf("the brokers %s have dead letters of a stream %q each: name the broker", strings.Join(have, ", "), stream)
	case len(have) == 1:
		return place{have[0], stream}, nil
	case d.brokers["default"] != nil:
		return place{"default", stream}, nil
	}
	return place{names[0], stream}, nil
}

// filterOf is the filter for the queue at a place.
func (s selection) filterOf(at place) deadletter.Filter {
	f := s.filter
	if s.exactly != nil {
		f.IDs, f.QueueIDs = nil, []string{}
		for _, one := range s.exactly {
			if one.Broker == at.broker && one.Stream == at.stream {
				f.QueueIDs = append(f.QueueIDs, one.ID)
			}
		}
	}
	return f
}

// handlerOf is the handler of a group on a stream.
func (s selection) handlerOf(at place, group string) string {
	for _, one := range s.all {
		if (place{one.Broker, one.Stream}) == at && one.Group == group {
			return one.Handler
		}
	}
	return group
}

// owned are the groups of a stream that are in the catalog.
func (s selection) owned(at place) (groups []string) {
	for _, one := range s.all {
		if (place{one.Broker, one.Stream}) == at {
			groups = append(groups, one.Group)
		}
	}
	return groups
}

// Each calls fn for the dead letters that are meant, stream by stream, oldest first,
// and reads them in pages. A stream that cannot be read is in the error, and the
// others go on; an error of fn ends all.
func (d *DeadLetters) Each(ctx context.Context, q Query, fn func(DeadLetter) error) error {
	s, err := d.selected(ctx, q)
	if err != nil {
		return err
	}
	var errs []error
	for _, at := range s.places {
		var ended error
		err := deadletter.Each(ctx, d.brokers[at.broker], at.stream, s.filterOf(at), func(one deadletter.Stored) error {
			ended = fn(DeadLetter{one, at.broker, s.handlerOf(at, one.Metadata.ConsumerGroup)})
			return ended
		})
		if ended != nil || ctx.Err() != nil {
			return errors.Join(append(errs, err)...)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Named returns the dead letters that the ids of a query name, in the order of the
// ids: of each id the one that has it in its queue, or else those whose message or
// original entry has it. An id that names none is an error.
func (d *DeadLetters) Named(ctx context.Context, q Query) (all []DeadLetter, err error) {
	byID, err := d.named(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, id := range q.IDs {
		for _, one := range byID[id] {
			if !slices.ContainsFunc(all, func(other DeadLetter) bool { return other.isAt(one) }) {
				all = append(all, one)
			}
		}
	}
	return all, nil
}

// Exactly returns the query that means one dead letter for each id that q names, as
// [DeadLetters.Named] finds it, and no other. An id that names none is an error, and
// so is one that names several; that error lists them.
func (d *DeadLetters) Exactly(ctx context.Context, q Query) (Query, error) {
	byID, err := d.named(ctx, q)
	if err != nil {
		return q, err
	}
	const most = 10
	q.exactly = []DeadLetter{}
	for _, id := range q.IDs {
		found := byID[id]
		if len(found) == 1 {
			q.exactly = append(q.exactly, found[0])
			continue
		}
		var candidates []string
		for _, one := range found[:min(len(found), most)] {
			candidates = append(candidates, fmt.Sprintf("%s of %s on broker %s (handler %s, message %q, original %q)",
				one.ID, one.Stream, one.Broker, one.Handler, one.MessageID, one.Metadata.OriginalID))
		}
		more := ""
		if len(found) > most {
			more = fmt.Sprintf(" and %d more", len(found)-most)
		}
		return q, fmt.Errorf("%q names %d dead letters: %s%s; give the id in the queue, and the stream where two queues have it", id, len(found), strings.Join(candidates, ", "), more)
	}
	return q, nil
}

// named are the dead letters that each id of a query names.
func (d *DeadLetters) named(ctx context.Context, q Query) (map[string][]DeadLetter, error) {
	queued, others := map[string][]DeadLetter{}, map[string][]DeadLetter{}
	err := d.Each(ctx, q, func(one DeadLetter) error {
		for _, id := range q.IDs {
			switch id {
			case one.ID:
				queued[id] = append(queued[id], one)
			case one.MessageID, one.Metadata.OriginalID, one.Metadata.FirstOriginalID:
				others[id] = append(others[id], one)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, id := range q.IDs {
		if len(queued[id]) == 0 {
			queued[id] = others[id]
		}
		if len(queued[id]) == 0 {
			return nil, fmt.Errorf("there is no dead letter %q, nor one of a message or an entry of that id", id)
		}
	}
	return queued, nil
}

// isAt reports whether two are one entry of a queue.
func (one DeadLetter) isAt(other DeadLetter) bool {
	return one.ID == other.ID && one.Stream == other.Stream && one.Broker == other.Broker
}

// ReplayPlan is which dead letters are to be replayed.
type ReplayPlan struct {
	selection
	plans []placedPlan
}

// placedPlan is the plan for one queue.
type placedPlan struct {
	*deadletter.Plan
	at place
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
			all = append(all, Target{plan.Stream, group, p.handlerOf(plan.at, group), n})
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
	s, err := d.selected(ctx, q)
	if err != nil {
		return nil, err
	}
	p := &ReplayPlan{selection: s}
	for _, at := range s.places {
		plan, err := deadletter.NewPlan(ctx, d.brokers[at.broker], at.stream, s.filterOf(at))
		if err != nil {
			return nil, err
		}
		if plan.Matched() > 0 {
			p.plans = append(p.plans, placedPlan{plan, at})
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
		before := done
		o.Owned = p.owned(plan.at)
		if o.Progress = nil; progress != nil {
			o.Progress = func(now deadletter.Replayed) { progress(sum(before, now)) }
		}
		now, err := plan.Run(ctx, d.brokers[plan.at.broker], o)
		done = sum(before, now)
		d.log.InfoContext(ctx, "dead letters replayed", "by", d.by, "broker", plan.at.broker, "stream", plan.Stream, "filter", p.filter.String(), "matched", now.Matched,
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
	Broker     string          `json:"broker"`
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
		return w.Encode(lineOf(one))
	})
	return n, err
}

func lineOf(s DeadLetter) exported {
	line := exported{Broker: s.Broker, Stream: s.Stream, DeadLetter: s.ID, Fields: []exportedField{}}
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

// Import puts back what Export wrote, in its order, each on the broker that it was
// exported from unless another is named. A dead letter that is in its queue already,
// byte for byte, is passed over, so that an import that was interrupted may be made
// again. It gets a new id there, and stays as long as one that is new.
func (d *DeadLetters) Import(ctx context.Context, from io.Reader, broker string) (done Imported, err error) {
	all, err := d.catalog()
	if err != nil {
		return done, err
	}
	places := map[place]place{}            // by what a line says
	present := map[place]map[string]bool{} // contents of the queue
	var at place
	var batch [][]message.Field
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := d.brokers[at.broker].AddDeadLetters(ctx, at.stream, batch)
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
			said := place{cmp.Or(broker, line.Broker), line.Stream}
			to, known := places[said]
			if !known {
				if to, err = d.placeOf(ctx, all, said.stream, said.broker); err != nil {
					return done, errors.Join(fmt.Errorf("line %d: %w", number, err), flush())
				}
				places[said] = to
			}
			if to != at || len(batch) == importBatch {
				if err := flush(); err != nil {
					return done, err
				}
				at = to
			}
			if present[at] == nil {
				if present[at], err = contents(ctx, d.brokers[at.broker], at.stream); err != nil {
					return done, err
				}
			}
			if content := contentOf(fields); present[at][content] {
				done.Present++
			} else {
				present[at][content] = true
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
	s, err := d.selected(ctx, q)
	if err != nil {
		return 0, err
	}
	ids := map[place][]string{}
	w := json.NewEncoder(io.Discard)
	if export != nil {
		w = json.NewEncoder(export)
	}
	w.SetEscapeHTML(false)
	err = d.Each(ctx, q, func(one DeadLetter) error {
		at := place{one.Broker, one.Stream}
		ids[at] = append(ids[at], one.ID)
		return w.Encode(lineOf(one))
	})
	if err == nil && flush != nil {
		err = flush()
	}
	if err != nil {
		return 0, err
	}
	for _, at := range s.places {
		n, err := d.brokers[at.broker].DeleteDeadLetters(ctx, at.stream, ids[at])
		deleted += n
		if n > 0 {
			d.log.InfoContext(ctx, "dead letters purged", "by", d.by, "broker", at.broker, "stream", at.stream, "filter", s.filter.String(), "deleted", n)
		}
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// Trim deletes the dead letters that were added to the queues of a query before a time,
// and returns how many there were. Its filter is not used.
func (d *DeadLetters) Trim(ctx context.Context, q Query, before time.Time) (trimmed int, err error) {
	s, err := d.selected(ctx, Query{Stream: q.Stream, Broker: q.Broker})
	if err != nil {
		return 0, err
	}
	for _, at := range s.places {
		n, err := d.brokers[at.broker].TrimDeadLetters(ctx, at.stream, before)
		trimmed += n
		if n > 0 {
			d.log.InfoContext(ctx, "dead letters trimmed", "by", d.by, "broker", at.broker, "stream", at.stream, "before", before.UTC().Format(time.RFC3339), "trimmed", n)
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
