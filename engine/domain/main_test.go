package domain

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/observatory-go/observatory/engine/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// environ is an environment of a test's own.
func environ(vars map[string]string) config.LoadOption {
	return config.Environ(func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	})
}

// parse reads a file that has no mistakes.
func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("shop/domain.toml", []byte(text), environ(nil))
	require.NoError(t, err)
	return c
}
