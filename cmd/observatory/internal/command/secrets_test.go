package command

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/config"
)

// planted is in every value of the files here, and in nothing else.
const planted = "hunter2"

// malformed are values that hold a secret, as mistakes leave them. Each is wrong
// in most places, if not in all.
var malformed = []string{
	`"redis://:pa?hunter2@h/0"`, `"redis://:pa/hunter2@h/0"`, `"redis://:pa#hunter2@h/0"`, `"redis://u:1?hunter2@h/0"`,
	`"redis://u:1/hunter2@h/0"`, `"redis://:hunter2@h:notaport/0"`, `"redis://:hunter2@h/notadatabase"`, `"redis://:hunter2"`,
	`"redis//:hunter2@h"`, `"redis:/:hunter2@h"`, `":hunter2@h"`, `"redis://h?pasword=hunter2"`, `"redis://h?hunter2"`,
	`"redis://h/0?max_connections=hunter2@h"`, `"redis://me:p@h?max_connections=x@hunter2"`, `"redis://h/0;password=hunter2"`,
	`"postgresql://me:pa?hunter2@h/d"`, `"postgresql://me:hunter2@h/d?sslmode=sometimes&pasword=hunter2"`,
	`"postgresql://me:1/hunter2@h/d"`, `"postgresql://h/d?sslmode=hunter2@h"`, `"host=h password=hunter2"`,
	`"mssql+pyodbc:///?odbc_connect=UID=sa;PWD=hunter2@x"`, `"ftp://u:hunter2@h/x?key=hunter2"`, `"http://u:hunter2@/x"`,
	`"http://u:pa/hunter2@h"`, `"http://h:hunter2/x"`, `"http://u:hunter2@h:70000/x?key=hunter2"`, `"https//h/x?key=hunter2@"`,
	`["redis://:hunter2@h"]`, `[["redis://:hunter2@h"]]`, `{a = "redis://:hunter2@h"}`, `"${PLANTED_URL}"`, `"${PLANTED_PARAMETER}"`,
	`"redis://:${PLANTED}/${PLANTED_NONE}@h"`, `"redis://${PLANTED_URL}"`, `"redis://h:${PLANTED}"`, `"redis://h/${PLANTED}"`,
	`"redis://h?${PLANTED}=1"`, `"ftp://h/?key=${PLANTED}"`, `"${PLANTED_NONE|redis://:pa?hunter2@h}"`, `"${PLANTED_NONE}://:hunter2@h"`,
	// No TOML.
	`redis://:hunter2@h`, `"redis://:hunter2\q@h"`, `"redis://:hunter2@h`, `'redis://:hunter2@h`, `redis:hunter2`,
}

// bare are secrets without anything around them. They are found where a secret,
// a URL or a table belongs; elsewhere what stands there is shown.
var bare = []string{
	`"hunter2"`, `"Bearer hunter2"`, `"${PLANTED}"`, `"${PLANTED_NONE|hunter2}"`, `["hunter2"]`, `hunter2`, `'hunter2`, `"hunter2\q"`, `1hunter2`, `0xhunter2`, `1979-hunter2`,
}

// shownOnPurpose are keys whose valid values are names that are shown.
var shownOnPurpose = []string{"name", "stream", "group", "host", "source_uri", "service_name", "order", "origin_stream", "schema", "types"}

func TestNoSecretOfAFileReachesAnyOutput(t *testing.T) {
	for name, value := range map[string]string{
		"PLANTED": planted, "PLANTED_URL": "ftp://me:hunter2@h?key=hunter2", "PLANTED_PARAMETER": "redis://h?pasword=hunter2",
	} {
		t.Setenv(name, value)
	}
	files := map[string]string{
		"a line by itself":         "hunter2\n",
		"two words":                "Bearer hunter2\n",
		"headers that are a text":  "[observatory.handlers.X]\nheaders = \"Bearer hunter2\"\n",
		"a header as a name":       "[observatory.handlers.X.headers]\n\"Authorization: Bearer hunter2\" = \"x\"\n",
		"a header of two lines":    "[observatory.handlers.X.headers]\nX-Anything = \"a\\nhunter2\"\n",
		"a header that is none":    "[observatory.handlers.X.headers]\nX-Anything = [\"hunter2\"]\n",
		"attributes that are none": "[telemetry]\nresource_attributes = \"hunter2\"\n",
		"a broker that is a text":  "[brokers]\ndefault = \"hunter2\"\n",
		"a handler that is a text": "[observatory.handlers]\nX = \"hunter2\"\n",
		"a section in capitals":    "[broker.default]\nURI = \"hunter2\"\n",
	}
	secretPlace := map[string]bool{"URI": true, "database_uri": true, "deliver": true, "redis_url": true, "alert_callback": true, "secret_key": true}
	for _, key := range config.Keys() {
		if slices.Contains(shownOnPurpose, key.Name) {
			continue
		}
		section := strings.ReplaceAll(key.Sections[0], "*", "X") // in the others it is read alike
		values := append(slices.Clone(malformed), `"${PLANTED}"`, `"${PLANTED_NONE|hunter2}"`)
		if secretPlace[key.Name] {
			values = slices.Concat(malformed, bare)
		}
		for _, value := range values {
			files[section+" "+key.Name+" "+value] = fileOf(section, key.Name, value)
		}
	}
	for _, section := range []string{"brokers.X", "databases.X", "observatory", "observatory.handlers.X", "server", "server.profiles.X", "server.subscriptions.X"} {
		for _, value := range slices.Concat(malformed, bare) {
			for _, key := range []string{"passwrod", "URL", "token"} {
				files[section+" "+key+" "+value] = fileOf(section, key, value)
			}
		}
	}
	require.Greater(t, len(files), 3000, "they are made at all")

	inUse := taken(t)
	for name, text := range files {
		path := shoptest.Configure(t, text)
		for _, args := range [][]string{
			{"check", "--config", path},
			{"check", "--json", "--strict", "--config", path},
			{"subscriptions", "--settings", "--config", path},
			{"serve", "--log.level", "debug", "--web.listen-address", inUse, "--health.listen-address", anyPort, "--config", path},
		} {
			r := observatory(args...)
			for line := range strings.SplitSeq(r.stdout+r.stderr, "\n") {
				require.NotContains(t, line, planted, "%s: %s", args[0], name)
			}
		}
	}
}

// fileOf is a file with this value, and with what makes it be read.
func fileOf(section, key, value string) string {
	var b strings.Builder
	line := func(name, value string) {
		if name != key {
			fmt.Fprintf(&b, "%s = %s\n", name, value)
		}
	}
	if section != "" {
		fmt.Fprintf(&b, "[%s]\n", section)
	}
	fmt.Fprintf(&b, "%s = %s\n", key, value)
	switch section {
	case "brokers.X", "caches.X":
		line("provider", `"redis"`)
		line("URI", `"redis://h:1"`)
	case "databases.X":
		line("provider", `"postgresql"`)
		line("database_uri", `"postgresql://h:1/d"`)
	case "event_store":
		line("provider", `"message_db"`)
	case "observatory.handlers.X":
		line("stream", `"s"`)
		line("deliver", `"log:"`)
	case "telemetry":
		line("enabled", "true")
	}
	return b.String()
}

// The exporter's own log has the text of each variable that is wrong.
func TestNoSecretOfTheEnvironmentReachesTheLog(t *testing.T) {
	t.Parallel()
	for variable, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_HEADERS": "api-key=hunter2%zz", "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "hunter2",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:hunter2%zz@h", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "hunter2",
		"OTEL_RESOURCE_ATTRIBUTES": "hunter2", "OTEL_EXPORTER_OTLP_TIMEOUT": "hunter2", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/hunter2",
	} {
		path := shoptest.Configure(t, "[telemetry]\nenabled = true\n[observatory]\nname = \"shop\"\n")
		p := startProcess(t, []string{variable + "=" + value}, "serve", "--config", path, "--log.level", "debug", "--log.format", "json",
			"--web.listen-address", anyPort, "--health.listen-address", anyPort)
		p.until("it runs", func() bool { return strings.Contains(p.stderr.String(), "readyz") })
		p.signal(syscall.SIGTERM)
		require.Equal(t, exitDone, p.exits(), "%s", &p.stderr)
		require.NotContains(t, p.stdout.String()+p.stderr.String(), planted, variable)
		require.Contains(t, p.stderr.String(), `"variable":"`+variable+`","value":"***"`)
	}
}
