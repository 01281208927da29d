package main

import (
	"slices"
	"strings"
)

// score is one contestant's turns and what they come to.
type score struct {
	Name string `json:"name"`
	Note string `json:"note"`
	// Messages is how many a turn had.
	Messages int      `json:"messages"`
	Turns    []result `json:"turns"`
	// Median, Low and High are of the turns' rates, in messages a second.
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	// Ratio is the median of the ratios to the bare loop of the same round; 0
	// where that did not run.
	Ratio float64 `json:"ratio"`
	// CPU and Allocs are medians, for a message.
	CPU    float64 `json:"cpu"`
	Allocs float64 `json:"allocs"`
}

// split takes deliveries over HTTP apart from the others.
func split(scores []score) (consuming, delivering []score) {
	for _, s := range scores {
		if strings.HasPrefix(s.Name, "http-") {
			delivering = append(delivering, s)
		} else {
			consuming = append(consuming, s)
		}
	}
	return consuming, delivering
}

// summarise fills in what the turns come to, compared with those of base.
func summarise(scores []score, base string) []score {
	bare := slices.IndexFunc(scores, func(s score) bool { return s.Name == base })
	for i := range scores {
		s := &scores[i]
		rates := s.each(func(_ int, r result) float64 { return r.Rate })
		s.Median, s.Low, s.High = median(rates), slices.Min(rates), slices.Max(rates)
		if bare >= 0 {
			s.Ratio = median(s.each(func(k int, r result) float64 { return r.Rate / scores[bare].Turns[k].Rate }))
		}
		s.CPU = median(s.each(func(_ int, r result) float64 { return r.CPU }))
		s.Allocs = median(s.each(func(_ int, r result) float64 { return r.Allocs }))
	}
	return scores
}

func (s score) each(of func(round int, r result) float64) []float64 {
	out := make([]float64, len(s.Turns))
	for i, r := range s.Turns {
		out[i] = of(i, r)
	}
	return out
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// percentile is the value that the given part, 0 to 1, of the values does not
// exceed.
func percentile(values []float64, part float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}
