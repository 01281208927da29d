package e2e

import (
	"encoding/json"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"go.yaml.in/yaml/v3"

	"github.com/observatory-go/observatory/engine/testserver"
)

// prometheus is a real one with the shipped configuration: other addresses, and
// a second between scrapes in place of fifteen. The rules are those that ship.
type prometheus struct{ url string }

func startPrometheus(t *testing.T, scraped, alertmanager string) prometheus {
	t.Helper()
	const shipped = "../deploy/prometheus/prometheus.yml"
	config := readYAML(t, shipped)
	config["global"] = map[string]any{"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
	targets(config["scrape_configs"], scraped)
	targets(config["alerting"].(map[string]any)["alertmanagers"], alertmanager)
	rules := config["rule_files"].([]any)
	for i, file := range rules {
		absolute, err := filepath.Abs(filepath.Join(filepath.Dir(shipped), file.(string)))
		require.NoError(t, err)
		rules[i] = absolute
	}
	address := testserver.FreeAddress(t)
	p := start(t, program(t, "prometheus"), "--config.file", writeYAML(t, config),
		"--storage.tsdb.path", t.TempDir(), "--web.listen-address", address, "--log.level", "warn")
	p.answers(t, "http://"+address+"/-/ready")
	return prometheus{url: "http://" + address}
}

// targets puts one address in place of those of the only static configuration.
func targets(configs any, address string) {
	first := configs.([]any)[0].(map[string]any)
	first["static_configs"] = []any{map[string]any{"targets": []any{address}}}
}

func readYAML(t *testing.T, path string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var config map[string]any
	require.NoError(t, yaml.Unmarshal(text, &config))
	return config
}

func writeYAML(t *testing.T, config map[string]any) string {
	t.Helper()
	text, err := yaml.Marshal(config)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "config.yml")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// series is one line of an answer.
type series struct {
	Metric map[string]string
	Value  [2]any // time, value as text
}

func (s series) value() float64 {
	text, _ := s.Value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// query asks what an expression is now.
func (p prometheus) query(t *testing.T, expr string) []series {
	t.Helper()
	var found struct{ Result []series }
	p.ask(t, "/api/v1/query", url.Values{"query": {expr}}, &found)
	return found.Result
}

// labelValues asks which values a label has in the series of a selector.
func (p prometheus) labelValues(t *testing.T, selector, label string) []string {
	t.Helper()
	var values []string
	p.ask(t, "/api/v1/label/"+label+"/values", url.Values{"match[]": {selector}}, &values)
	return values
}

func (p prometheus) ask(t *testing.T, path string, query url.Values, data any) {
	t.Helper()
	response, err := get(t, p.url+path+"?"+query.Encode())
	require.NoError(t, err)
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	require.Equal(t, "success", answer.Status, "%s: %s", query, answer.Error)
	require.NoError(t, json.Unmarshal(answer.Data, data))
}

// is says whether an expression has exactly one value, this one.
func (p prometheus) is(t *testing.T, expr string, want float64) bool {
	t.Helper()
	found := p.query(t, expr)
	return len(found) == 1 && found[0].value() == want
}
