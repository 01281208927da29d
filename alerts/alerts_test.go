package alerts_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/observatory-go/observatory/alerts"
	"github.com/observatory-go/observatory/alerts/promtest"
)

const (
	rulesFile  = "observatory.rules.yaml"
	runbookURL = "https://github.com/observatory-go/observatory/blob/main/alerts/runbook.md#"
)

// testsFiles are promtool's tests of the rules.
var testsFiles = []string{"observatory.test.yaml", "observatory.days.test.yaml"}

type rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	text, err := alerts.Files.ReadFile(rulesFile)
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	var all []rule
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

func TestPrometheusAcceptsTheRules(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", rulesFile)
}

func TestAlertsAreSilentBeforeTheirThresholdAndFireAtIt(t *testing.T) {
	t.Parallel()
	promtool(t, append([]string{"test", "rules"}, testsFiles...)...)
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput()
	require.NoError(t, err, "promtool %s:\n%s", strings.Join(args, " "), out)
}

func TestEveryAlertIsTestedOnBothSides(t *testing.T) {
	t.Parallel()
	silent, firing := expectations(t)
	for _, r := range rules(t) {
		require.True(t, silent[r.Alert], "%s has no test in which it is silent", r.Alert)
		require.True(t, firing[r.Alert], "%s has no test in which it fires", r.Alert)
	}
}

func expectations(t *testing.T) (silent, firing map[string]bool) {
	t.Helper()
	silent, firing = map[string]bool{}, map[string]bool{}
	for _, name := range testsFiles {
		var file struct {
			Tests []struct {
				AlertRuleTest []struct {
					Alertname string
					ExpAlerts []any `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			}
		}
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(text, &file))
		for _, test := range file.Tests {
			for _, c := range test.AlertRuleTest {
				silent[c.Alertname] = silent[c.Alertname] || len(c.ExpAlerts) == 0
				firing[c.Alertname] = firing[c.Alertname] || len(c.ExpAlerts) > 0
			}
		}
	}
	return silent, firing
}

func TestEveryAlertTellsHowBadWhatAndWhatToDo(t *testing.T) {
	t.Parallel()
	headings := runbookHeadings(t)
	seen := map[string]bool{}
	for _, r := range rules(t) {
		require.False(t, seen[r.Alert], "%s is there twice", r.Alert)
		seen[r.Alert] = true
		require.Contains(t, []string{"critical", "warning"}, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.Contains(t, r.Annotations["description"], "$value", r.Alert)
		require.Equal(t, runbookURL+strings.ToLower(r.Alert), r.Annotations["runbook_url"])
		require.Contains(t, headings, r.Alert)
	}
	for _, heading := range headings {
		require.True(t, seen[heading], "the runbook's section %s belongs to no alert", heading)
	}
}

// runbookHeadings are the alerts that have a section.
func runbookHeadings(t *testing.T) []string {
	t.Helper()
	text, err := alerts.Files.ReadFile("runbook.md")
	require.NoError(t, err)
	var headings []string
	for _, m := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		headings = append(headings, m[1])
	}
	return headings
}

func TestLinksInsideTheRunbookLeadSomewhere(t *testing.T) {
	t.Parallel()
	text, err := alerts.Files.ReadFile("runbook.md")
	require.NoError(t, err)
	links := regexp.MustCompile(`\[(\w+)\]\(#(\w+)\)`).FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, links)
	for _, link := range links {
		require.Contains(t, runbookHeadings(t), link[1])
		require.Equal(t, strings.ToLower(link[1]), link[2])
	}
}

// runbookBlocks are the commands of the runbook in one language.
func runbookBlocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := alerts.Files.ReadFile("runbook.md")
	require.NoError(t, err)
	var blocks []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"$(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	require.NotEmpty(t, blocks)
	return blocks
}

func TestCommandsOfTheRunbookAreShell(t *testing.T) {
	t.Parallel()
	for _, block := range runbookBlocks(t, "sh") {
		require.NotRegexp(t, `(?m)^alias `, block, "a script knows no alias")
		shell := exec.CommandContext(t.Context(), "sh", "-n")
		shell.Stdin = strings.NewReader(block)
		out, err := shell.CombinedOutput()
		require.NoError(t, err, "%s\n%s", block, out)
	}
}

func TestQueriesOfTheRunbookUseOnlyWhatTheObservatoryExposes(t *testing.T) {
	t.Parallel()
	exposed := promtest.Load(t)
	for _, block := range runbookBlocks(t, "promql") {
		for query := range strings.Lines(block) {
			require.Empty(t, exposed.Unknown(query), query)
			require.NotRegexp(t, `without \(instance\)|by \((le|handler)(, (le|handler))?\)`, query, "replicas in a cluster have a pod, handlers a domain")
		}
	}
}

func TestRulesUseOnlyWhatTheObservatoryExposes(t *testing.T) {
	t.Parallel()
	exposed := promtest.Load(t)
	inTemplate := regexp.MustCompile(`\$labels\.(\w+)`)
	asked := regexp.MustCompile("printf `([^`]*)`")
	for _, r := range rules(t) {
		require.Empty(t, exposed.Unknown(r.Expr), r.Alert)
		var labels []string
		for _, text := range r.Annotations {
			for _, m := range inTemplate.FindAllStringSubmatch(text, -1) {
				labels = append(labels, m[1])
			}
			for _, m := range asked.FindAllStringSubmatch(text, -1) {
				require.Empty(t, exposed.Unknown(m[1]), r.Alert)
			}
		}
		require.Empty(t, exposed.UnknownLabels(r.Expr, labels...), r.Alert)
	}
}

// Alerts on metrics that are no longer exposed would otherwise stay silent.
func TestEveryFamilyThatAlertsIsMissedWhenItIsGone(t *testing.T) {
	t.Parallel()
	// These are missed with another of their process.
	covered := map[string]string{
		"protean_db_pool_checked_out":                    "ObservatoryEngineAbsent: a process has it of each pool from its start",
		"protean_db_pool_size":                           "ObservatoryEngineAbsent: a process has it of each pool from its start",
		"protean_subscription_circuit_open":              "ObservatoryEngineAbsent: every engine has it from its start, of subscriptions with a circuit breaker",
		"protean_subscription_dead_letters_waiting":      "ObservatoryEngineAbsent: every engine has it from its start",
		"protean_subscription_dlq_routed_total":          "ObservatoryEngineAbsent: every engine has it from its start",
		"protean_subscription_entries_lost_total":        "ObservatoryEngineAbsent: every engine has it from its start",
		"protean_subscription_oldest_unfinished_seconds": "ObservatoryLagUnknown: read from the same reply",
		"protean_subscription_position_ahead":            "ObservatoryLagUnknown: read from the same reply",
		"protean_subscription_paused":                    "ObservatoryLagUnknown: read from the same server",
		"protean_subscription_stuck_calls":               "ObservatoryEngineAbsent: every engine has it from its start",
		"protean_subscription_target_down":               "ObservatoryEngineAbsent: every engine has it from its start",
	}
	missed := map[string]bool{}
	for _, r := range rules(t) {
		for _, m := range regexp.MustCompile(`absent\((\w+)\{`).FindAllStringSubmatch(r.Expr, -1) {
			missed[m[1]] = true
		}
	}
	for _, r := range rules(t) {
		for _, name := range promtest.Names(r.Expr) {
			require.True(t, missed[name] || covered[name] != "", "%s: no rule misses %s", r.Alert, name)
		}
	}
}

// Facts that every replica reports alike must not be added up.
func TestSharedFiguresAreTakenOnce(t *testing.T) {
	t.Parallel()
	shared := regexp.MustCompile(`^protean_(dlq_depth|outbox_|stream_|subscription_(consumer_lag|position_|pending|lag_|oldest_|dlq_depth|entries_read|paused))`)
	for _, r := range rules(t) {
		for _, name := range promtest.Names(r.Expr) {
			if shared.MatchString(name) && !strings.Contains(r.Expr, "absent(") {
				require.Contains(t, r.Expr, "max without (instance, pod)", r.Alert)
				require.NotContains(t, r.Expr, "sum", r.Alert)
			}
		}
	}
}
