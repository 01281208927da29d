package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func lookupIn(vars map[string]string) lookup {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func TestVariablesAreFilledIn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte("s3cret${HOST}\n"), 0o600))
	env := lookupIn(map[string]string{
		"HOST": "db", "PORT": "5432", "EMPTY": "", "URL": "${HOST}:${PORT}", "DEFAULTED": "${NONE|x}", "TEXT": "a${b ${",
	})
	for text, want := range map[string]string{
		"plain":                  "plain",
		"${HOST}":                "db",
		"a-${HOST}-b-${PORT}-c":  "a-db-b-5432-c",
		"${NONE|x}":              "x",
		"${NONE|}":               "",
		"${NONE|b|c}":            "b|c",
		"${EMPTY|x}":             "", // set, though empty
		"${HOST|x}":              "db",
		"${URL}":                 "db:5432", // a variable may name others
		"${DEFAULTED}":           "x",
		"${NONE|${HOST}}":        "db", // and so may a default
		`${NONE|{"hosts": [1]}}`: `{"hosts": [1]}`,
		`${HOST|{"hosts": [1]}}`: `db`,
		"${TEXT}":                "a${b ${", // what a variable holds may be any text
		"$HOST {HOST}":           "$HOST {HOST}",
		"${NONE|{}":              "{",
		"${file:" + path + "}":   "s3cret${HOST}", // a secret may be any text
		"${file:/none|x}":        "x",
	} {
		got, err := expand(text, env)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestVariablesThatCannotBeFilledInAreErrors(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"A": "${A}", "B": "x${C}", "C": "${B}", "D0": "", "E": "x${hunter2}y"}
	for i := range 40 {
		this, next := "D"+strings.Repeat("0", i+2), "D"+strings.Repeat("0", i+1)
		vars[this] = "${" + next + "}${" + next + "}"
	}
	for text, want := range map[string]string{
		"${}":                                 "names nothing",
		"${}${D0}":                            "names nothing",
		"${|127.0.0.1}":                       "names nothing",
		"${D0":                                "has no closing brace",
		"${D0}/${D0|x":                        "has no closing brace",
		"${NONE|${}}":                         "names nothing",
		"${NONE}":                             "environment variable NONE is not set",
		"${E}":                                "what variable E holds names another that is not set",
		"${A}":                                "variable A refers to itself",
		"${B}":                                "variable B refers to itself",
		"${file:/none}":                       "file of ${file:/none} cannot be read",
		"${file:/}":                           "file of ${file:/} cannot be read",
		"${D" + strings.Repeat("0", 41) + "}": "refer to each other without end",
	} {
		_, err := expand(text, lookupIn(vars))
		require.ErrorContains(t, err, want, text)
	}
}

func TestEveryVariableThatIsMissingIsReported(t *testing.T) {
	t.Parallel()
	const file = `
[brokers.default]
provider = "redis"
URI = "redis://${USER_X}:${PASS_X}@${HOST_X|h}/0"
max_connections = "${POOL_X}"
[custom]
list = ["${LIST_X}", {deep = "${DEEP_X}"}]
[production.custom]
other = "${NOT_THIS_ENVIRONMENT}"
`
	require.Equal(t, []string{
		"domain.toml: [brokers.default] URI = \"redis://***@${HOST_X}/0\": environment variable USER_X is not set, and has no default (${USER_X|default})",
		"domain.toml: [brokers.default] URI = \"redis://***@${HOST_X}/0\": environment variable PASS_X is not set, and has no default (${PASS_X|default})",
		"domain.toml: [brokers.default] max_connections = \"${POOL_X}\": environment variable POOL_X is not set, and has no default (${POOL_X|default})",
		"domain.toml: [custom] list[0]: environment variable LIST_X is not set, and has no default (${LIST_X|default})",
		"domain.toml: [custom.list[1]] deep = \"${DEEP_X}\": environment variable DEEP_X is not set, and has no default (${DEEP_X|default})",
	}, mistakes(t, file))
}

func TestTextOfVariablesBecomesTheKindThatIsWanted(t *testing.T) {
	t.Parallel()
	c := parse(t, `
[databases.default]
provider = "postgresql"
database_uri = "postgresql://db/shop"
pool_size = "${POOL|7}"
pool_recycle = "${RECYCLE|1.5}"
managed = "${MANAGED|false}"
[server.health]
port = "${PORT}"
enabled = "TRUE"
[observatory]
shutdown_timeout_seconds = "0.25"
`, map[string]string{"PORT": "8081"})
	db := c.Databases["default"]
	require.Equal(t, 7, db.PoolSize)
	require.Equal(t, "1.5s", db.PoolRecycle.String())
	require.False(t, db.Managed)
	require.Equal(t, Health{Enabled: true, Host: "0.0.0.0", Port: 8081}, c.Health)
	require.Equal(t, "250ms", c.Observatory.ShutdownTimeout.String())
}

func TestARotatedSecretIsReadAgainAtEveryConnection(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "password")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("one\n")
	c := parse(t, `
[brokers.default]
provider = "redis"
URI = "redis://me:${file:`+path+`}@host/1"
[observatory.handlers.H]
stream = "s"
deliver = "log:"
headers.Authorization = "Bearer ${file:`+path+`}"
`)
	broker, handler := c.Brokers["default"], c.Handlers[0]
	for _, secret := range []string{"one", "two"} {
		write(secret)
		uri, err := broker.URI()
		require.NoError(t, err)
		require.Equal(t, "redis://me:"+secret+"@host/1", uri)
		headers, err := handler.Headers()
		require.NoError(t, err)
		require.Equal(t, map[string]string{"Authorization": "Bearer " + secret}, headers)
	}
	require.NoError(t, os.Remove(path))
	_, err := broker.URI()
	require.ErrorContains(t, err, "shop/domain.toml: [brokers.default] URI: file of ${file:"+path+"} cannot be read")
}

func FuzzExpand(f *testing.F) {
	f.Add("${A|${B}}", "${B}", "x")
	f.Add("${file:/none|{}", "{", "}")
	f.Fuzz(func(t *testing.T, text, a, b string) {
		if strings.Contains(text+a+b, filePrefix) {
			return // the fuzzer shall not read files
		}
		got, err := expand(text, lookupIn(map[string]string{"A": a, "B": b}))
		if !strings.Contains(text, "${") {
			require.NoError(t, err)
			require.Equal(t, text, got)
		}
	})
}
