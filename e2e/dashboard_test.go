package e2e

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/dashboards/grafana"
)

type dashboard struct {
	Title      string
	Templating struct{ List []variable }
	Panels     []struct {
		Title   string
		Targets []struct{ Expr string }
	}
}

type variable struct{ Name, Type, Query, AllValue string }

func dashboards(t *testing.T) []dashboard {
	t.Helper()
	names, err := fs.Glob(grafana.Files, "*.json")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	all := make([]dashboard, len(names))
	for i, name := range names {
		text, err := grafana.Files.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &all[i]))
	}
	return all
}

// shown is an expression as Grafana sends it while every variable is at "All".
// The rate interval is wide enough for what happened at the start of a slow run.
func (d dashboard) shown(expr string) string {
	replacements := []string{"$__rate_interval", "10m"}
	for _, v := range d.Templating.List {
		replacements = append(replacements, "$"+v.Name, v.AllValue)
	}
	return strings.NewReplacer(replacements...).Replace(expr)
}

// answered reports whether an expression has a line with a number.
func (p prometheus) answered(t *testing.T, expr string) bool {
	t.Helper()
	for _, s := range p.query(t, expr) {
		if v := s.value(); v == v { // not NaN: a quantile of nothing is no answer
			return true
		}
	}
	return false
}

func requireEveryPanelAnswered(t *testing.T, p prometheus) {
	t.Helper()
	for _, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			if v.Type == "query" {
				requireChoices(t, p, d, v)
			}
		}
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				expr := d.shown(target.Expr)
				eventually(t, panel.Title+" answers "+expr, func() bool { return p.answered(t, expr) })
			}
		}
	}
}

// requireChoices asks what a variable offers: label_values(<selector>, <label>).
func requireChoices(t *testing.T, p prometheus, d dashboard, v variable) {
	t.Helper()
	query := strings.TrimSuffix(strings.TrimPrefix(d.shown(v.Query), "label_values("), ")")
	comma := strings.LastIndex(query, ",")
	require.Positive(t, comma, v.Query)
	values := p.labelValues(t, query[:comma], strings.TrimSpace(query[comma+1:]))
	require.NotEmpty(t, values, "variable %s offers nothing: %s", v.Name, v.Query)
}
