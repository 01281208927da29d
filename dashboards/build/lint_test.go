package build

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

// The rules are those of grafana/dashboard-linter, under its names. What is
// linted is what ships: the files, not the values they were built from. No panel
// is excluded from any.

func TestShippedDashboardsKeepTheLintersRules(t *testing.T) {
	t.Parallel()
	for name, d := range shippedDashboards(t) {
		for rule, check := range dashboardRules {
			t.Run(name+"/"+rule, func(t *testing.T) { require.Empty(t, check(d)) })
		}
		for rule, check := range panelRules {
			t.Run(name+"/"+rule, func(t *testing.T) { require.Empty(t, lintPanels(d, check)) })
		}
		for rule, check := range targetRules {
			t.Run(name+"/"+rule, func(t *testing.T) { require.Empty(t, lintTargets(d, check)) })
		}
	}
}

func lintPanels(d dashboard, check func(panel) string) (findings []string) {
	for _, p := range d.Panels {
		if p.Type == "row" {
			continue
		}
		if finding := check(p); finding != "" {
			findings = append(findings, p.Title+": "+finding)
		}
	}
	return findings
}

func lintTargets(d dashboard, check func(parser.Expr) string) []string {
	return lintPanels(d, func(p panel) string {
		var findings []string
		for _, q := range p.Targets {
			expr, err := parse(q.Expr)
			if err != nil {
				findings = append(findings, err.Error())
			} else if finding := check(expr); finding != "" {
				findings = append(findings, finding)
			}
		}
		return strings.Join(findings, "; ")
	})
}

// rateInterval stands for $__rate_interval where an expression is parsed.
const rateInterval = "1234s"

func parse(expr string) (parser.Expr, error) {
	return parser.ParseExpr(strings.ReplaceAll(expr, "$__rate_interval", rateInterval))
}

var dashboardRules = map[string]func(dashboard) string{
	"uneditable-dashboard-rule": func(d dashboard) string {
		return unless(!d.Editable, "is editable")
	},
	"template-datasource-rule": func(d dashboard) string {
		v := d.Templating.List[0]
		return unless(v.Type == "datasource" && v.Name == "datasource" && v.Label == "Data source" && v.Query == "prometheus",
			"the first variable is not the Prometheus data source")
	},
	"template-job-rule":      func(d dashboard) string { return choosable(d, "job", "Job") },
	"template-instance-rule": func(d dashboard) string { return choosable(d, "instance", "Instance") },
	"template-on-time-change-reload-rule": func(d dashboard) string {
		for _, v := range d.Templating.List {
			if v.Type == "query" && v.Refresh != 2 {
				return v.Name + " is not read again when the time range changes"
			}
		}
		return ""
	},
	"template-label-promql-rule": func(d dashboard) string {
		for _, v := range d.Templating.List {
			values, ok := strings.CutPrefix(v.Query, "label_values(")
			if !ok {
				continue
			}
			metric := values[:strings.LastIndex(values, ",")]
			if _, err := parse(metric); err != nil {
				return fmt.Sprintf("%s: %v", v.Name, err)
			}
		}
		return ""
	},
}

func choosable(d dashboard, name, label string) string {
	i := slices.IndexFunc(d.Templating.List, func(v variable) bool { return v.Name == name })
	if i < 0 {
		return "no variable " + name
	}
	v := d.Templating.List[i]
	return unless(v.Type == "query" && v.Label == label && v.Multi && v.IncludeAll && v.AllValue == ".+" && v.Datasource.UID == "${datasource}",
		name+" is not a choice of several, or all, of the chosen source")
}

// The units in use; Grafana has more.
var units = []string{"none", "short", "s", "bytes", "cps", "mps", "ops", "percentunit"}

var panelRules = map[string]func(panel) string{
	"panel-datasource-rule": func(p panel) string {
		for _, q := range p.Targets {
			if q.Datasource.UID != "${datasource}" {
				return "a query goes to " + q.Datasource.UID
			}
		}
		return unless(p.Datasource.UID == "${datasource}", "another source than the chosen one")
	},
	"panel-title-description-rule": func(p panel) string {
		return unless(p.Title != "" && p.Description != "", "no title or no description")
	},
	"panel-units-rule": func(p panel) string {
		return unless(slices.Contains(units, p.FieldConfig.Defaults.Unit), "unit "+p.FieldConfig.Defaults.Unit)
	},
	"panel-no-targets-rule": func(p panel) string { return unless(len(p.Targets) > 0, "no query") },
}

var targetRules = map[string]func(parser.Expr) string{
	"target-promql-rule":   func(parser.Expr) string { return "" }, // parsing is the check
	"target-job-rule":      func(e parser.Expr) string { return matches(e, "job") },
	"target-instance-rule": func(e parser.Expr) string { return matches(e, "instance") },
	"target-rate-interval-rule": func(e parser.Expr) string {
		var finding string
		parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
			if m, ok := node.(*parser.MatrixSelector); ok && m.Range.Seconds() != 1234 {
				finding = "a range that is not $__rate_interval in " + m.String()
			}
			return nil
		})
		return finding
	},
	"target-counter-agg-rule": func(e parser.Expr) string {
		var finding string
		parser.Inspect(e, func(node parser.Node, path []parser.Node) error {
			if s, ok := node.(*parser.VectorSelector); ok && counts(s.Name) && !rated(path) {
				finding = s.Name + " counts, and is no rate or increase here"
			}
			return nil
		})
		return finding
	},
}

func counts(metric string) bool {
	return strings.HasSuffix(metric, "_total") || strings.HasSuffix(metric, "_bucket")
}

func rated(path []parser.Node) bool {
	return slices.ContainsFunc(path, func(node parser.Node) bool {
		call, ok := node.(*parser.Call)
		return ok && slices.Contains([]string{"rate", "irate", "increase"}, call.Func.Name)
	})
}

// matches says which selector lacks the matcher of a variable.
func matches(e parser.Expr, name string) string {
	var finding string
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		s, ok := node.(*parser.VectorSelector)
		if ok && !slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool {
			return m.Type == labels.MatchRegexp && m.Name == name && m.Value == "$"+name
		}) {
			finding = fmt.Sprintf("no %s=~\"$%s\" in %s", name, name, s)
		}
		return nil
	})
	return finding
}

func unless(ok bool, finding string) string {
	if ok {
		return ""
	}
	return finding
}

// A rule that finds nothing anywhere would keep nothing.
func TestTheRulesFindWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	for rule, bad := range map[string]string{
		"target-job-rule":           `up{instance=~"$instance"}`,
		"target-instance-rule":      `sum(up{job=~"$job", instance="a"})`,
		"target-rate-interval-rule": `rate(x_total[5m])`,
		"target-counter-agg-rule":   `sum(x_total)`,
		"target-promql-rule":        `sum(`,
	} {
		d := dashboard{Panels: []panel{{Title: "P", Targets: []target{{Expr: bad}}}}}
		require.NotEmpty(t, lintTargets(d, targetRules[rule]), rule)
	}
	bad := panel{Title: "P", Datasource: source{UID: "mine"}}
	bad.FieldConfig.Defaults.Unit = "parsecs"
	for rule, check := range panelRules {
		require.NotEmpty(t, check(bad), rule)
	}
	wrong := dashboard{Editable: true}
	wrong.Templating.List = []variable{{Name: "x", Type: "query", Query: "label_values(a{, b)"}}
	for rule, check := range dashboardRules {
		require.NotEmpty(t, check(wrong), rule)
	}
}
