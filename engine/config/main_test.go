package config

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// environ is an environment of a test's own.
func environ(vars map[string]string) LoadOption {
	return Environ(func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	})
}

// parse reads a file that has no mistakes.
func parse(t *testing.T, text string, vars ...map[string]string) *Config {
	t.Helper()
	c, err := Parse("shop/domain.toml", []byte(text), environ(joined(vars)))
	require.NoError(t, err)
	return c
}

// mistakes reads a file that has some, and returns them as text.
func mistakes(t *testing.T, text string, vars ...map[string]string) []string {
	t.Helper()
	c, err := Parse("domain.toml", []byte(text), environ(joined(vars)))
	require.Error(t, err)
	require.Nil(t, c)
	return lines(err)
}

// lines are those of the errors that were joined.
func lines(err error) []string {
	var all []string
	for _, e := range unjoin(err) {
		all = append(all, e.Error())
	}
	return all
}

func joined(vars []map[string]string) map[string]string {
	all := map[string]string{}
	for _, v := range vars {
		maps.Copy(all, v)
	}
	return all
}
