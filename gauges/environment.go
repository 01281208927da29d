package gauges

import (
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// pushVariables are the variables of the environment that the exporter and the SDK
// read, and how each must be. What is wrong they leave out, and would say so with
// its text.
var pushVariables = []struct {
	names    []string
	expected string
	valid    func(text string) bool
}{
	{
		[]string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"},
		"name=value, several joined by commas, the values percent-encoded", isPairs,
	},
	{[]string{"OTEL_RESOURCE_ATTRIBUTES"}, "name=value, several joined by commas, the values percent-encoded", isPairs},
	{
		[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"},
		"http://host:port or https://host:port", isEndpoint,
	},
	{
		[]string{"OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT"},
		"a whole number of milliseconds", isMilliseconds,
	},
	{
		[]string{
			"OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
			"OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_KEY", "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY",
		},
		"a file that can be read", isFile,
	},
}

// warnEnvironment logs which variables are not as they must be. They are named, and
// their values are not: each may hold a secret.
func warnEnvironment(log *slog.Logger) {
	for _, v := range pushVariables {
		for _, name := range v.names {
			if text := strings.TrimSpace(os.Getenv(name)); text != "" && !v.valid(text) {
				log.Warn("a variable of the environment is not used, or only in part", "variable", name, "value", "***", "expected", v.expected)
			}
		}
	}
}

func isPairs(text string) bool {
	for pair := range strings.SplitSeq(text, ",") {
		name, value, has := strings.Cut(pair, "=")
		_, err := url.PathUnescape(value)
		if name = strings.TrimSpace(name); !has || err != nil || name == "" || strings.ContainsFunc(name, isNoToken) {
			return false
		}
	}
	return true
}

// isNoToken reports whether a character cannot be in the name of a header.
func isNoToken(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func isEndpoint(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

func isMilliseconds(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 0
}

func isFile(text string) bool {
	info, err := os.Stat(text)
	return err == nil && info.Mode().IsRegular()
}
