package redisbroker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// maxTrimmed is how many entries one script removes: Redis does nothing else
// meanwhile, which is a millisecond or two.
const maxTrimmed = 10_000

// Trim implements [consumergroup.Trimmer]. It needs the right to XTRIM. Where that
// is missing entries can be consumed all the same, and the broker is up.
func (m *membership) Trim(ctx context.Context, r consumergroup.Retention) (t consumergroup.Trimmed, err error) {
	err = m.broker.do("trim"+m.where, func() error {
		args := []any{r.MaxLen, maxTrimmed, max(r.FloorsFor, time.Minute).Milliseconds(), len(r.Floors)}
		for _, f := range r.Floors {
			args = append(args, f.Group, f.Consumer, f.ID.String())
		}
		args = append(args, m.member.Group)
		for _, group := range r.Groups {
			args = append(args, group)
		}
		result, err := m.broker.run(ctx, trimScript, []string{m.member.Stream}, args...)
		switch {
		case isDenial(err):
			return fmt.Errorf("the user needs the rights to XTRIM and XLEN: %w", err)
		case err != nil:
			return m.broker.explain(ctx, err, m.member.Stream)
		}
		reply, err := result.Slice()
		if err != nil || len(reply) != 4 {
			return unexpectedReply("the script that trims")
		}
		removed, beyond, more := integer(reply[0]), integer(reply[1]), integer(reply[3])
		group, isText := reply[2].(string)
		if !removed.known || !beyond.known || !more.known || !isText {
			return unexpectedReply("the script that trims")
		}
		t = consumergroup.Trimmed{Removed: int(removed.n), Beyond: int(beyond.n), Group: group, More: more.n == 1}
		if t.Beyond == 0 {
			t.Group = ""
		}
		return nil
	})
	m.broker.retained.note(m.member.Stream, t, err)
	return t, err
}

// retained is what trimming each stream left beyond its retention the last time.
type retained struct {
	mu      sync.Mutex
	streams map[string]consumergroup.Trimmed
}

// note takes what came of trimming a stream. Where it failed nothing is known; what
// the next call will remove is not held back.
func (r *retained) note(stream string, t consumergroup.Trimmed, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		delete(r.streams, stream)
	case t.More:
	case r.streams == nil:
		r.streams = map[string]consumergroup.Trimmed{stream: t}
	default:
		r.streams[stream] = t
	}
}

// held is how many entries are kept beyond a stream's retention, and the group that
// needs the oldest; unknown where this process trims no such stream.
func (r *retained) held(stream string) (entries collector.Value, by string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, known := r.streams[stream]
	return collector.Value{V: float64(t.Beyond), Known: known}, t.Group
}
