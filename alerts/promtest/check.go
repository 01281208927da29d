package promtest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// target are the labels that Prometheus adds to every sample, and `pod`, which
// it adds in a cluster.
var target = []string{"job", "instance", "pod"}

var (
	selector = regexp.MustCompile(`\b(protean_[a-z0-9_]+|up)\s*\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
)

// Unknown says what a PromQL expression names that is not exposed: metrics, and
// labels that its metrics do not have.
func (e Exposition) Unknown(expr string) []string {
	var unknown []string
	for _, name := range Names(expr) {
		if _, ok := e[name]; !ok {
			unknown = append(unknown, fmt.Sprintf("metric %s", name))
		}
	}
	bare := withoutStrings(expr)
	for _, s := range selector.FindAllStringSubmatch(bare, -1) {
		unknown = append(unknown, e.foreign(matched(s[2]), s[1])...)
	}
	for _, g := range grouping.FindAllStringSubmatch(bare, -1) {
		unknown = append(unknown, e.foreign(listed(g[1]), Names(expr)...)...)
	}
	return unknown
}

// UnknownLabels says which of the labels none of the expression's metrics has.
func (e Exposition) UnknownLabels(expr string, labels ...string) []string {
	return e.foreign(labels, Names(expr)...)
}

func (e Exposition) foreign(labels []string, metrics ...string) []string {
	known := slices.Clone(target)
	for _, m := range metrics {
		known = append(known, e[m]...)
	}
	var foreign []string
	for _, l := range labels {
		if !slices.Contains(known, l) {
			foreign = append(foreign, fmt.Sprintf("label %s of %s", l, strings.Join(metrics, ", ")))
		}
	}
	return foreign
}

func matched(matchers string) []string {
	var labels []string
	for _, m := range matcher.FindAllStringSubmatch(matchers, -1) {
		labels = append(labels, m[1])
	}
	return labels
}

func listed(labels string) []string {
	return strings.Fields(strings.ReplaceAll(labels, ",", " "))
}
