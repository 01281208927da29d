package grafana_test

import (
	"encoding/json"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/alerts/promtest"
	"github.com/observatory-go/observatory/dashboards/grafana"
)

type dashboard struct {
	UID        string
	Title      string
	Templating struct {
		List []struct{ Name, Query string }
	}
	Panels []struct {
		Type, Title string
		Targets     []struct{ Expr, LegendFormat string }
	}
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	names, err := fs.Glob(grafana.Files, "*.json")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	all := map[string]dashboard{}
	for _, name := range names {
		text, err := grafana.Files.ReadFile(name)
		require.NoError(t, err)
		var d dashboard
		require.NoError(t, json.Unmarshal(text, &d), name)
		all[name] = d
	}
	return all
}

func TestEachDashboardIsFoundUnderItsFilesName(t *testing.T) {
	t.Parallel()
	for name, d := range dashboards(t) {
		require.Equal(t, strings.TrimSuffix(name, path.Ext(name)), d.UID)
		require.NotEmpty(t, d.Title)
	}
}

// A job or an instance that the reader left out must be in no panel.
func TestEveryQueryKeepsToTheChosenJobAndInstance(t *testing.T) {
	t.Parallel()
	selector := regexp.MustCompile(`protean_\w+(\{[^}]*\})?`)
	forEachQuery(t, func(t *testing.T, panel, expr string) {
		selectors := selector.FindAllString(expr, -1)
		require.NotEmpty(t, selectors, "%s: %s", panel, expr)
		for _, s := range selectors {
			require.Contains(t, s, `job=~"$job"`, panel)
			require.Contains(t, s, `instance=~"$instance"`, panel)
		}
	})
}

func TestDashboardsUseOnlyWhatTheObservatoryExposes(t *testing.T) {
	t.Parallel()
	exposed := promtest.Load(t)
	forEachQuery(t, func(t *testing.T, panel, expr string) {
		require.Empty(t, exposed.Unknown(expr), panel)
	})
	for name, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			require.Empty(t, exposed.Unknown(v.Query), "%s: variable %s", name, v.Name)
		}
	}
}

func TestLegendsNameLabelsThatTheQueryKeeps(t *testing.T) {
	t.Parallel()
	exposed := promtest.Load(t)
	grouping := regexp.MustCompile(`^\w+ by \(([^)]*)\)`)
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				labels := placeholders(q.LegendFormat)
				require.Empty(t, exposed.UnknownLabels(q.Expr, labels...), p.Title)
				if by := grouping.FindStringSubmatch(q.Expr); by != nil {
					require.Subset(t, strings.Split(by[1], ", "), labels, p.Title)
				}
			}
		}
	}
}

func placeholders(legend string) []string {
	var labels []string
	for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(legend, -1) {
		labels = append(labels, m[1])
	}
	return labels
}

func forEachQuery(t *testing.T, check func(t *testing.T, panel, expr string)) {
	t.Helper()
	for name, d := range dashboards(t) {
		queries := 0
		for _, p := range d.Panels {
			if p.Type != "row" {
				require.NotEmpty(t, p.Targets, p.Title)
			}
			for _, q := range p.Targets {
				check(t, p.Title, q.Expr)
				queries++
			}
		}
		require.Positive(t, queries, name)
	}
}
