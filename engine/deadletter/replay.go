package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/observatory-go/observatory/engine/message"
)

// ReplayOptions say how dead letters are replayed.
type ReplayOptions struct {
	// Rate is how many messages are delivered a second at most; 0 is no limit.
	Rate float64
	// Broadcast adds a copy of a message whose original is gone also where a group
	// that is not of this engine reads the stream: it gets the copy too.
	Broadcast bool
	// Owned are the groups of the stream that are known to be of this engine. Those
	// in which one is running are found without.
	Owned []string
	// Progress is called after each step with what was done so far; nil is not.
	Progress func(Replayed)
}

// Replayed is what became of the dead letters that were to be replayed.
type Replayed struct {
	// Matched is how many there were.
	Matched int
	// Delivered were given to their group again. Of these AlreadyPending were pending
	// for it, and Copied are copies of originals that are gone.
	Delivered, AlreadyPending, Copied int
	// Gone were not in the queue any more: they were replayed or deleted meanwhile.
	Gone int
	// Left stay in the queue, by the reason why they cannot be replayed.
	Left map[string]int
}

func (r *Replayed) leave(why string, n int) {
	if r.Left == nil {
		r.Left = map[string]int{}
	}
	r.Left[why] += n
}

// planned is a dead letter to be replayed. A million of them are kept in memory.
type planned struct{ deadLetter, original message.EntryID }

// Plan is which dead letters of a stream are to be replayed: by group, in the order
// of the originals.
type Plan struct {
	Stream string
	groups map[string][]planned
	left   map[string]int
}

// NewPlan reads which dead letters of a stream fit.
func NewPlan(ctx context.Context, r Reader, stream string, f Filter) (*Plan, error) {
	p := &Plan{Stream: stream, groups: map[string][]planned{}, left: map[string]int{}}
	err := Each(ctx, r, stream, f, func(s Stored) error {
		md := s.Metadata
		id, err := message.ParseEntryID(s.ID)
		original, originalErr := message.ParseEntryID(md.OriginalID)
		switch {
		case err != nil:
			return fmt.Errorf("dead letter %s of %s: %w", s.ID, stream, err)
		case md.ConsumerGroup == "" || originalErr != nil:
			p.left["no group or original is written in them"]++
		case md.OriginalStream != "" && md.OriginalStream != stream:
			p.left[fmt.Sprintf("their original is in another stream, %s", md.OriginalStream)]++
		default:
			p.groups[md.ConsumerGroup] = append(p.groups[md.ConsumerGroup], planned{id, original})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, all := range p.groups {
		slices.SortFunc(all, func(a, b planned) int {
			return cmp.Or(a.original.Compare(b.original), a.deadLetter.Compare(b.deadLetter))
		})
	}
	return p, nil
}

// Groups are the groups that would get messages, and how many each.
func (p *Plan) Groups() map[string]int {
	counts := map[string]int{}
	for group, all := range p.groups {
		counts[group] = len(all)
	}
	return counts
}

// Matched is how many dead letters fit.
func (p *Plan) Matched() (n int) {
	for _, all := range p.groups {
		n += len(all)
	}
	for _, left := range p.left {
		n += left
	}
	return n
}

// stepSize is how many originals are delivered at once.
const stepSize = 100

// Run replays what was planned, group by group. Where it is interrupted, each dead
// letter was either replayed and deleted, or is still there: another plan takes the
// rest. It returns what was done also with an error.
func (p *Plan) Run(ctx context.Context, q Queue, o ReplayOptions) (done Replayed, err error) {
	done.Matched = p.Matched()
	for why, n := range p.left {
		done.leave(why, n)
	}
	groups, err := q.Groups(ctx, p.Stream)
	if err != nil {
		return done, err
	}
	pace := pacer{rate: o.Rate, began: time.Now()}
	names := make([]string, 0, len(p.groups))
	for group := range p.groups {
		names = append(names, group)
	}
	slices.Sort(names)
	for _, group := range names {
		r := replay{Queue: q, stream: p.Stream, group: group, done: &done}
		at := slices.IndexFunc(groups, func(g Group) bool { return g.Name == group })
		if at < 0 {
			done.leave(fmt.Sprintf("group %s does not exist: start its engine once, which makes it", group), len(p.groups[group]))
			continue
		}
		if !slices.Contains(o.Owned, group) {
			r.consumer = receiver(groups[at])
		}
		if !o.Broadcast {
			for _, g := range groups {
				if g.Name != group && !g.Live && !slices.Contains(o.Owned, g.Name) {
					r.strangers = append(r.strangers, g.Name)
				}
			}
		}
		for rest := p.groups[group]; len(rest) > 0; {
			n := min(len(rest), pace.step())
			if err := r.step(ctx, rest[:n]); err != nil {
				return done, fmt.Errorf("replay dead letters of %s to group %s: %w", p.Stream, group, err)
			}
			rest = rest[n:]
			if o.Progress != nil {
				o.Progress(done)
			}
			if err := pace.wait(ctx, n); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// receiver is the consumer that gets the messages of a group: where an engine of
// ours runs, or no consumer is listed, it is none, and any engine takes them over.
// Otherwise it is the one that was active last, which is of Protean's engine: that
// one reads what is pending for its own consumer alone.
func receiver(g Group) string {
	if g.Live || len(g.Consumers) == 0 {
		return ""
	}
	return slices.MinFunc(g.Consumers, func(a, b Consumer) int { return cmp.Compare(a.Idle, b.Idle) }).Name
}

// replay is the replay to one group.
type replay struct {
	Queue
	stream, group, consumer string
	strangers               []string // groups of others, which would get a copy too
	done                    *Replayed
}

// step replays some of the plan.
func (r *replay) step(ctx context.Context, some []planned) error {
	request := Replay{Stream: r.stream, Group: r.group, Consumer: r.consumer}
	for _, p := range some {
		request.Items = append(request.Items, Item{DeadLetter: p.deadLetter.String(), Original: p.original.String()})
	}
	outcomes, err := r.Replay(ctx, request)
	for i, outcome := range outcomes {
		switch outcome {
		case AlreadyPending:
			r.done.AlreadyPending++
			r.done.Delivered++
		case Claimed, Undelivered:
			r.done.Delivered++
		case Gone:
			r.done.Gone++
		case Absent:
			err = errors.Join(err, r.copy(ctx, request.Items[i]))
		}
	}
	return err
}

// copy replays a message whose original is gone by a copy that is marked with its
// group.
func (r *replay) copy(ctx context.Context, item Item) error {
	if len(r.strangers) > 0 {
		r.done.leave(fmt.Sprintf("the original is gone, and a copy would reach %s too, whose engine is not known to be ours: --broadcast adds it all the same",
			strings.Join(r.strangers, ", ")), 1)
		return nil
	}
	got, err := r.DeadLetters(ctx, r.stream, Page{Until: item.DeadLetter, After: before(item.DeadLetter), Max: 1})
	switch {
	case err != nil:
		return err
	case len(got) == 0:
		r.done.Gone++
		return nil
	}
	dead := Read(r.stream, got[0])
	fields, err := dead.Original()
	if err != nil {
		r.done.leave(fmt.Sprintf("the original is gone, and %s", err), 1)
		return nil
	}
	added, err := r.Copy(ctx, r.stream, item.DeadLetter, append(fields, message.ReplayFields(r.group, cmp.Or(dead.Metadata.FirstOriginalID, item.Original))...))
	switch {
	case err != nil:
		return err
	case !added:
		r.done.Gone++
	default:
		r.done.Copied++
		r.done.Delivered++
	}
	return nil
}

// before is the id before an entry's; "" where there is none.
func before(text string) string {
	id, err := message.ParseEntryID(text)
	switch {
	case err != nil || id.IsZero():
		return ""
	case id.Sequence > 0:
		id.Sequence--
	default:
		id = message.EntryID{Milliseconds: id.Milliseconds - 1, Sequence: 1<<64 - 1}
	}
	return id.String()
}

// pacer keeps to a rate.
type pacer struct {
	rate  float64
	began time.Time
	done  int
}

// step is how many may be done at once: a tenth of a second's.
func (p *pacer) step() int {
	if p.rate <= 0 {
		return stepSize
	}
	return min(max(int(p.rate/10), 1), stepSize)
}

// wait waits until more may be done after another n, or ctx ends.
func (p *pacer) wait(ctx context.Context, n int) error {
	if p.done += n; p.rate <= 0 {
		return ctx.Err()
	}
	pause := time.NewTimer(time.Until(p.began.Add(time.Duration(float64(p.done) / p.rate * float64(time.Second)))))
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
