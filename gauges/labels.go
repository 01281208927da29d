package gauges

import (
	"encoding/hex"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// labels are those of a series. What a subscription has in several families has the
// same ones, which are kept once.
type labels struct {
	text string // as they stand between the braces

	// They were made of the values of a row, or of a producer's set.

	names, values []string
	set           attribute.Set
}

type label struct{ name, value string }

// areOf reports whether they were made of these values.
func (l *labels) areOf(values []string) bool { return l != nil && slices.Equal(l.values, values) }

// areOfSet reports whether they were made of this set.
func (l *labels) areOfSet(set *attribute.Set) bool { return l != nil && l.set.Equals(set) }

// labelings are the labels of an exposition's series, by their text.
type labelings struct {
	byText  map[string]*labels
	names   map[attribute.Key]string // of attributes; "" for one that cannot be a label
	scratch []label
	text    []byte
}

func newLabelings() *labelings {
	return &labelings{byText: make(map[string]*labels), names: make(map[attribute.Key]string)}
}

// of returns the labels of a row.
func (k *labelings) of(names, values []string) *labels {
	k.scratch = k.scratch[:0]
	for i, value := range values {
		k.scratch = append(k.scratch, label{names[i], value})
	}
	l := k.intern()
	l.names, l.values = names, slices.Clone(values)
	return l
}

// ofSet returns the labels of a producer's point.
func (k *labelings) ofSet(set *attribute.Set) *labels {
	k.fill(set)
	l := k.intern()
	l.set = *set
	return l
}

// fill reads the labels of a set into the scratch.
func (k *labelings) fill(set *attribute.Set) {
	k.scratch = k.scratch[:0]
	for i := range set.Len() {
		kv, _ := set.Get(i)
		name, known := k.names[kv.Key]
		if !known {
			name, _ = (&otlptranslator.LabelNamer{}).Build(string(kv.Key)) // "" where it fails
			k.names[kv.Key] = name
		}
		if name != "" {
			k.scratch = append(k.scratch, label{name, strings.ToValidUTF8(kv.Value.String(), "\uFFFD")})
		}
	}
}

// intern returns the labels in the scratch.
func (k *labelings) intern() *labels {
	k.text = appendLabels(k.text[:0], k.scratch)
	l := k.byText[string(k.text)]
	if l == nil {
		l = &labels{text: string(k.text)}
		k.byText[l.text] = l
	}
	return l
}

// pairs are labels as the library has them.
func (k *labelings) pairs(l *labels) []*dto.LabelPair {
	if l.values == nil {
		k.fill(&l.set)
		return labelPairs(k.scratch)
	}
	k.scratch = k.scratch[:0]
	for i, value := range l.values {
		k.scratch = append(k.scratch, label{l.names[i], value})
	}
	return labelPairs(k.scratch)
}

// forget drops all where there are more of them than series that were filled: some
// are of series that are gone. Those that series have stay with these.
func (k *labelings) forget(filled int) {
	if len(k.byText) > filled {
		clear(k.byText)
	}
}

// appendLabels appends what stands between the braces.
func appendLabels(b []byte, all []label) []byte {
	for i, l := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, l.name...), `="`...)
		b = append(append(b, escapeValue.Replace(l.value)...), '"')
	}
	return b
}

func labelPairs(labels []label) []*dto.LabelPair {
	pairs := make([]*dto.LabelPair, len(labels))
	for i, l := range labels { // a copy each
		pairs[i] = &dto.LabelPair{Name: &l.name, Value: &l.value}
	}
	return pairs
}

// exemplarLabels name the trace as OpenMetrics does.
func exemplarLabels(e *metricdata.Exemplar[float64]) []label {
	return []label{
		{otlptranslator.ExemplarTraceIDKey, hex.EncodeToString(e.TraceID)},
		{otlptranslator.ExemplarSpanIDKey, hex.EncodeToString(e.SpanID)},
	}
}
