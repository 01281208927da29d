// Package deploy_test holds what ships for operators to what its own programs
// accept.
package deploy_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/observatory-go/observatory/alerts"
)

func TestPrometheusAcceptsItsConfigurationAndTheRulesItNames(t *testing.T) {
	t.Parallel()
	out := run(t, "promtool", "check", "config", "prometheus/prometheus.yml")
	require.Contains(t, out, "1 rule files found")
}

func TestAlertmanagerAcceptsItsConfiguration(t *testing.T) {
	t.Parallel()
	run(t, "amtool", "check-config", "alertmanager/alertmanager.yml")
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	require.NoError(t, err, "%s: %s", program, out)
	return string(out)
}

// Rules and dashboards of another job's name would be silent.
func TestTheJobIsTheOneThatTheRulesLookFor(t *testing.T) {
	t.Parallel()
	var config struct {
		ScrapeConfigs []struct {
			JobName string `yaml:"job_name"`
		} `yaml:"scrape_configs"`
	}
	read(t, "prometheus/prometheus.yml", &config)
	require.Len(t, config.ScrapeConfigs, 1)

	rules, err := alerts.Files.ReadFile("observatory.rules.yaml")
	require.NoError(t, err)
	jobs := regexp.MustCompile(`job="([^"]*)"`).FindAllStringSubmatch(string(rules), -1)
	require.NotEmpty(t, jobs)
	for _, job := range jobs {
		require.Equal(t, config.ScrapeConfigs[0].JobName, job[1])
	}
}

func TestAlertmanagerSpeaksOnlyOfAlertsThatExist(t *testing.T) {
	t.Parallel()
	var config struct {
		InhibitRules []struct {
			Sources []string `yaml:"source_matchers"`
			Targets []string `yaml:"target_matchers"`
		} `yaml:"inhibit_rules"`
	}
	read(t, "alertmanager/alertmanager.yml", &config)
	require.NotEmpty(t, config.InhibitRules)

	rules, err := alerts.Files.ReadFile("observatory.rules.yaml")
	require.NoError(t, err)
	named := regexp.MustCompile(`^alertname=~?"(.*)"$`)
	for _, rule := range config.InhibitRules {
		for _, m := range append(rule.Sources, rule.Targets...) {
			name := named.FindStringSubmatch(m)
			if name == nil {
				continue // a matcher of another label
			}
			for alert := range strings.SplitSeq(name[1], "|") {
				require.Contains(t, string(rules), "alert: "+alert+"\n")
			}
		}
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into))
}
