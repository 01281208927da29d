package deadletter

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Filter says which dead letters are meant: those that fit all that is set. The
// zero Filter takes all.
type Filter struct {
	// Handler is the consumer group that gave the message up, or the part of its name
	// after the last dot. Groups are others that are meant by it.
	Handler string
	Groups  []string
	// Reason and Type are those of the dead letter.
	Reason Reason
	Type   string
	// Error is a part of the error's text, in either case of its letters.
	Error string
	// Before and Since bound the time at which the message was given up.
	Before, Since time.Time
	// IDs name dead letters: by their own id, by that of the message, or by that of
	// the original entry.
	IDs []string
	// QueueIDs name dead letters by their own id alone.
	QueueIDs []string
}

// Takes reports whether a dead letter fits.
func (f Filter) Takes(s Stored) bool {
	md := s.Metadata
	switch {
	case f.Handler != "" && !strings.HasSuffix("."+md.ConsumerGroup, "."+f.Handler) && !slices.Contains(f.Groups, md.ConsumerGroup),
		f.Reason != "" && f.Reason != md.Reason,
		f.Type != "" && f.Type != s.Type,
		f.Error != "" && !strings.Contains(strings.ToLower(md.FailureReason), strings.ToLower(f.Error)),
		!f.Before.IsZero() && !s.At().Before(f.Before),
		!f.Since.IsZero() && s.At().Before(f.Since):
		return false
	}
	if f.QueueIDs != nil && !slices.Contains(f.QueueIDs, s.ID) {
		return false
	}
	named := func(id string) bool {
		return id != "" && (id == s.ID || id == s.MessageID || id == md.OriginalID || id == md.FirstOriginalID)
	}
	return f.IDs == nil || slices.ContainsFunc(f.IDs, named)
}

// String is the filter for the log: the keys that are set and their values.
func (f Filter) String() string {
	var parts []string
	add := func(key string, value any, set bool) {
		if set {
			parts = append(parts, fmt.Sprintf("%s=%v", key, value))
		}
	}
	add("handler", f.Handler, f.Handler != "")
	add("reason", f.Reason, f.Reason != "")
	add("type", f.Type, f.Type != "")
	add("error", f.Error, f.Error != "")
	add("before", f.Before.UTC().Format(time.RFC3339), !f.Before.IsZero())
	add("since", f.Since.UTC().Format(time.RFC3339), !f.Since.IsZero())
	add("ids", strings.Join(f.IDs, ","), f.IDs != nil)
	add("queue_ids", strings.Join(f.QueueIDs, ","), f.QueueIDs != nil)
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, " ")
}

// pageSize is how many dead letters are read at once, bodies and all.
const pageSize = 100

// Each calls fn for the dead letters of a stream that fit, oldest first: those that
// are in the queue when it is called. It ends with the first error, fn's included.
func Each(ctx context.Context, r Reader, stream string, f Filter, fn func(Stored) error) error {
	state, err := r.State(ctx, stream)
	if err != nil || state.Newest == "" {
		return err
	}
	for page := (Page{Until: state.Newest, Max: pageSize}); ; {
		got, err := r.DeadLetters(ctx, stream, page)
		if err != nil {
			return err
		}
		for _, d := range got {
			s := Read(stream, d)
			if !f.Takes(s) {
				continue
			}
			if err := fn(s); err != nil {
				return err
			}
		}
		if len(got) < pageSize {
			return nil
		}
		page.After = got[len(got)-1].ID
	}
}
