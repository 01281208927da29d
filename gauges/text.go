package gauges

import (
	"io"
	"math"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// text writes kept families as Prometheus' text (version 0.0.4) or as
// OpenMetrics, byte for byte as [expfmt] does, in a fifth of the time: the text of
// a series' labels is made once.
type text struct {
	out  io.Writer
	open bool // OpenMetrics
	only func(name string) bool
	buf  []byte
	err  error
}

const flushAt = 32 << 10

func (t *text) write(families []*family) error {
	for _, f := range families {
		if !t.only(f.name) {
			continue
		}
		t.head(f)
		for i := range f.used {
			t.series(f, &f.kept[i])
			if len(t.buf) >= flushAt {
				t.flush()
			}
		}
	}
	t.flush()
	return t.err
}

func (t *text) flush() {
	if t.err == nil {
		_, t.err = t.out.Write(t.buf)
	}
	t.buf = t.buf[:0]
}

var (
	escapeHelp  = strings.NewReplacer("\\", `\\`, "\n", `\n`)
	escapeValue = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\"", `\"`)
)

// head writes help and type. OpenMetrics names a counter without its suffix.
func (t *text) head(f *family) {
	name, help := f.name, escapeHelp
	if t.open {
		help = escapeValue
		if f.kind == dto.MetricType_COUNTER {
			name = strings.TrimSuffix(name, "_total")
		}
	}
	t.buf = append(append(append(t.buf, "# HELP "...), name...), ' ')
	t.buf = append(append(t.buf, help.Replace(f.help)...), "\n# TYPE "...)
	t.buf = append(append(append(t.buf, name...), ' '), strings.ToLower(f.kind.String())...)
	t.buf = append(t.buf, '\n')
}

func (t *text) series(f *family, s *series) {
	name, labels := f.name, s.labels.text
	if f.kind != dto.MetricType_HISTOGRAM {
		t.name(name, "", labels)
		t.float(s.value)
		t.buf = append(t.buf, '\n')
		return
	}
	for i, total := range s.buckets.totals {
		t.buf = append(append(append(t.buf, name...), "_bucket{"...), labels...)
		if labels != "" {
			t.buf = append(t.buf, ',')
		}
		t.buf = append(t.buf, `le="`...)
		t.float(boundOf(f.bounds, i))
		t.buf = append(t.buf, `"} `...)
		t.count(total)
		if t.open {
			t.exemplar(s.buckets.exemplar(i))
		}
		t.buf = append(t.buf, '\n')
	}
	t.name(name, "_sum", labels)
	t.float(s.buckets.sum)
	t.buf = append(t.buf, '\n')
	t.name(name, "_count", labels)
	t.count(s.buckets.count)
	t.buf = append(t.buf, '\n')
}

func (t *text) name(name, suffix, labels string) {
	t.buf = append(append(t.buf, name...), suffix...)
	if labels != "" {
		t.buf = append(append(append(t.buf, '{'), labels...), '}')
	}
	t.buf = append(t.buf, ' ')
}

func (t *text) float(v float64) {
	switch {
	case math.IsInf(v, 1):
		t.buf = append(t.buf, "+Inf"...)
		return
	case math.IsInf(v, -1):
		t.buf = append(t.buf, "-Inf"...)
		return
	case math.IsNaN(v):
		t.buf = append(t.buf, "NaN"...)
		return
	}
	from := len(t.buf)
	t.buf = strconv.AppendFloat(t.buf, v, 'g', -1, 64)
	if t.open && !strings.ContainsAny(string(t.buf[from:]), "e.") {
		t.buf = append(t.buf, ".0"...)
	}
}

func (t *text) count(n uint64) {
	if t.open {
		t.buf = strconv.AppendUint(t.buf, n, 10)
	} else {
		t.float(float64(n))
	}
}

func (t *text) exemplar(e *metricdata.Exemplar[float64]) {
	if e == nil {
		return
	}
	t.buf = appendLabels(append(t.buf, " # {"...), exemplarLabels(e))
	t.buf = append(t.buf, "} "...)
	t.float(e.Value)
	t.buf = append(t.buf, ' ')
	t.float(float64(e.Time.UnixNano()) / 1e9)
}
