package consumergroup

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A stream that was read from is trimmed every trimEvery, and one that was not every
// trimIdle, since another group may have acknowledged what held entries back. Each
// process takes turns of its own: a turn that finds nothing to do costs the server
// next to nothing.
const (
	trimEvery = time.Second
	trimIdle  = 30 * time.Second
	// trimCalls bounds the calls of one turn.
	trimCalls = 10
)

// retentions are the retentions of all streams of a broker that are read here.
type retentions struct {
	mu      sync.Mutex
	streams map[string]*retention
}

// retention is the retention of one stream: of its subscriptions the largest
// retention_maxlen, and the groups of all. Whichever subscription has its upkeep
// next takes the turn.
type retention struct {
	grown atomic.Bool // entries were read since the last turn began

	mu      sync.Mutex
	kept    Retention
	members map[*source]struct{} // that are not closed
	due     time.Time            // of the next turn
	idleDue time.Time            // of the next turn where nothing was read
	failing bool
}

// of adds a subscription's group, retention and floor to those of its stream.
func (all *retentions) of(s *source, maxLen int) *retention {
	stream, group := s.member.Stream, s.member.Group
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.streams == nil {
		all.streams = make(map[string]*retention)
	}
	r := all.streams[stream]
	if r == nil {
		r = &retention{}
		all.streams[stream] = r
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.kept.Groups, group) {
		r.kept.Groups = append(slices.Clip(r.kept.Groups), group)
	}
	r.kept.MaxLen = max(r.kept.MaxLen, maxLen)
	r.kept.FloorsFor = max(r.kept.FloorsFor, s.claimIdle)
	if r.members == nil {
		r.members = make(map[*source]struct{})
	}
	r.members[s] = struct{}{}
	return r
}

// leave ends the part that a subscription has in its stream's retention but for its
// group, which holds entries back for as long as it exists.
func (r *retention) leave(s *source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members, s)
}

// begin reports whether a turn is due, and takes it.
func (r *retention) begin(now time.Time) (Retention, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kept.MaxLen == 0 || now.Before(r.due) || !r.grown.Load() && now.Before(r.idleDue) {
		return Retention{}, false
	}
	r.grown.Store(false)
	r.due, r.idleDue = now.Add(trimEvery), now.Add(trimIdle)
	kept := r.kept
	for s := range r.members {
		if f, joined := s.floor(); joined {
			kept.Floors = append(kept.Floors, f)
		}
	}
	return kept, true
}

// end reports whether what came of a turn is worth a line in the log: the first
// failure of several, and the end of them.
func (r *retention) end(err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := r.failing != (err != nil)
	r.failing = err != nil
	return changed
}

// floor is the lowest id that may be in flight here, now or before the next turn: what
// will be read is above what the group has delivered.
func (s *source) floor() (f Floor, joined bool) {
	id, known := s.position.get()
	if !known || s.membership.Load() == nil {
		return Floor{}, false
	}
	if id.Sequence++; id.Sequence == 0 {
		id.Milliseconds++
	}
	if lowest, some := s.inflight.lowest(); some && lowest.Compare(id) < 0 {
		id = lowest
	}
	return Floor{Group: s.member.Group, Consumer: s.member.Consumer, ID: id}, true
}

// trim takes a turn at the stream's retention, if one is due.
func (s *source) trim(ctx context.Context) {
	kept, due := s.retention.begin(time.Now())
	if !due {
		return
	}
	err := apart(ctx, func(ctx context.Context) error {
		for range trimCalls {
			t, err := (*s.membership.Load()).Trim(ctx, kept)
			if err != nil || !t.More {
				return err
			}
		}
		return nil
	})
	switch {
	case ctx.Err() != nil, isGone(err), !s.retention.end(err): // a group that is gone is made again elsewhere
	case err != nil:
		s.log.WarnContext(ctx, "cannot trim the stream to retention_maxlen; trying again", "error", err)
	default:
		s.log.Info("trimming the stream again")
	}
}
