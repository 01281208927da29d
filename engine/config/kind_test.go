package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A number may be what is opened, started or held so many times.
func TestEveryWholeNumberHasAGreatestValue(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, r := range table {
		for _, value := range []any{int64(1) << 31, int64(1) << 62} {
			p := &problems{}
			s := section{tree: map[string]any{r.name: value}, problems: p}
			switch v := r.kind.read(s, r.name).(type) {
			case int:
				t.Errorf("%v %s takes %d", r.in, r.name, v)
			case int64:
				require.LessOrEqual(t, v, int64(1)<<50, r.name)
			}
			if len(p.errs) > 0 {
				checked++
			}
		}
	}
	require.Greater(t, checked, 60)
	for _, key := range []string{"concurrency", "messages_per_tick"} {
		require.Equal(t,
			[]string{fmt.Sprintf(`domain.toml: [server.subscriptions.A] %s = 10001: expected a whole number from 1 to 10000`, key)},
			mistakes(t, "[server.subscriptions.A]\n"+key+" = 10001"))
	}
}

// A shorter one would become 0, which means something else, or a time-out that
// every command exceeds.
func TestADurationIsAMillisecondOrLongerOrNone(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, r := range table {
		if _, isDuration := r.kind.read(section{tree: map[string]any{"x": int64(60)}, problems: &problems{}}, "x").(time.Duration); !isDuration {
			continue
		}
		for _, value := range []float64{1e-10, 1e-7, 5e-324} {
			p := &problems{}
			require.Nil(t, r.kind.read(section{tree: map[string]any{r.name: value}, problems: p}, r.name), r.name)
			require.Len(t, p.errs, 1, r.name)
		}
		checked++
	}
	require.Greater(t, checked, 20)
	require.Equal(t, []string{`domain.toml: [server.subscriptions.A] handler_timeout_seconds = 0.0009: expected a number of seconds, from 0.001 to 31622400`},
		mistakes(t, "[server.subscriptions.A]\nhandler_timeout_seconds = 0.0009"))
	require.Equal(t, []string{`domain.toml: [observatory] shutdown_timeout_seconds = 1e-10: expected a number of seconds, 0 or from 0.001 to 31622400`},
		mistakes(t, "[observatory]\nshutdown_timeout_seconds = 1e-10"))
	require.Len(t, mistakes(t, "[brokers.default]\nprovider = \"redis\"\nURI = \"redis://h?socket_timeout=1e-10\""), 1)
}

func TestAnAddressMustBeOneToListenOn(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", ":9000", "[::1]:9000", "localhost:65535", "my-host.example:1"} {
		require.NoError(t, CheckAddress(address), address)
		parse(t, "[observatory]\nlisten_address = \""+address+"\"")
	}
	for _, address := range []string{"", "nope", "127.0.0.1:99999", "127.0.0.1:http", "127.0.0.1:-1", "127.0.0.1:+1", "a b:1", "h\n:1", "127.0.0.1", "u@h:1"} {
		require.Error(t, CheckAddress(address), address)
	}
	for _, host := range []string{"127.0.0.1:9", " 1", "1\n", "http://h", "a/b", "1", "1.2.3", "127.0.0.256", "-0"} {
		found := mistakes(t, fmt.Sprintf("[server.health]\nhost = %q", host))
		require.Len(t, found, 1, host)
		require.NotContains(t, found[0], "\n")
	}
	for _, host := range []string{"::1", "0.0.0.0", "localhost", "4c01db0b339c", "my_host.example", "münchen.example"} {
		parse(t, "[server.health]\nhost = \""+host+"\"")
	}
}

func TestMetricsAndProbesCannotShareAPort(t *testing.T) {
	t.Parallel()
	for file, shared := range map[string]bool{
		"observatory.listen_address = \"127.0.0.1:8080\"":                                                                   true,
		"observatory.listen_address = \":8080\"":                                                                            true,
		"observatory.listen_address = \"127.0.0.1:81\"\nserver.health = {host = \"127.0.0.1\", port = 81}":                  true,
		"observatory.listen_address = \"127.0.0.1:81\"\nserver.health = {host = \"127.0.0.2\", port = 81}":                  false,
		"observatory.listen_address = \"127.0.0.1:81\"\nserver.health = {host = \"127.0.0.1\", port = 81, enabled = false}": false,
		"observatory.listen_address = \"127.0.0.1:0\"\nserver.health.port = 0":                                              false,
	} {
		_, err := Parse("domain.toml", []byte(file), environ(nil))
		if !shared {
			require.NoError(t, err, file)
			continue
		}
		require.ErrorContains(t, err, "[observatory] listen_address", file)
		require.ErrorContains(t, err, "expected another port than that of [server.health]", file)
	}
}

func TestTheEndpointOfAPushHasAPort(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"NaN", "1m", "0x10", "h:", "h:x"} {
		require.Len(t, mistakes(t, "[telemetry]\nendpoint = \""+text+"\""), 1, text)
	}
	for _, text := range []string{"h:4317", "[::1]:4317", "http://h:4317", "https://h", ""} {
		parse(t, "[telemetry]\nendpoint = \""+text+"\"")
	}
}

// A pipe that is never written to, and a device without an end, would hold up
// whatever reads them.
func TestOnlyARegularFileIsRead(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for path, want := range map[string]string{"/dev/zero": "is no regular file", folder: "is a folder", filepath.Join(folder, "none"): "no such file"} {
		_, err := Load(path)
		require.ErrorContains(t, err, want)
		require.Contains(t, mistakes(t, "[observatory]\nname = \"${file:"+path+"}\"")[0], want)
	}
	long := filepath.Join(folder, "long")
	require.NoError(t, os.Truncate(create(t, long), maxExpansion+1))
	require.Contains(t, mistakes(t, "[observatory]\nname = \"${file:"+long+"}\"")[0], "is longer than 1048576 bytes")
}

func create(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	return path
}
