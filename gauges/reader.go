package gauges

import (
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/observatory-go/observatory/collector"
)

// reader reads rows for an export and keeps away from it what would fail it
// whole: a set of labels that comes twice, and text that is not UTF-8. It is
// not for concurrent use.
type reader struct {
	seed    maphash.Seed
	seen    map[uint64]struct{}
	repeats *repeats
}

func newReader(repeats *repeats) *reader {
	return &reader{seed: maphash.MakeSeed(), seen: make(map[uint64]struct{}), repeats: repeats}
}

// read emits g's samples; of equal label sets the first stands.
func (r *reader) read(g *Gauge, s *collector.Snapshot, emit Emit) {
	clear(r.seen)
	g.Read(s, func(value float64, labels ...string) {
		for i, label := range labels {
			if !utf8.ValidString(label) {
				labels[i] = strings.ToValidUTF8(label, "\uFFFD")
			}
		}
		key := r.hash(labels)
		if _, repeated := r.seen[key]; repeated {
			r.repeats.report(g, labels)
			return
		}
		r.seen[key] = struct{}{}
		emit(value, labels...)
	})
}

func (r *reader) hash(labels []string) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, label := range labels {
		_, _ = h.WriteString(label)
		_ = h.WriteByte(0xff) // not part of any UTF-8 text
	}
	return h.Sum64()
}

// repeats logs each gauge's first repeated label set.
type repeats struct {
	logger *slog.Logger
	logged sync.Map // of exposed names
}

func (r *repeats) report(g *Gauge, labels []string) {
	if _, again := r.logged.LoadOrStore(g.Exposed, nil); again {
		return
	}
	args := make([]any, 0, len(labels))
	for i, label := range labels {
		args = append(args, slog.String(g.Labels[i], label))
	}
	r.logger.Warn("two samples have the same labels; the first stands",
		"metric", g.Exposed, slog.Group("labels", args...))
}
