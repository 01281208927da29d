package deliver

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A path may hold a secret, as those of webhooks do.
func TestATargetIsCalledByItsName(t *testing.T) {
	t.Parallel()
	target := to(t, "http://"+closedAddress(t)+"/hooks/hunter2", func(c *HTTPConfig) { c.Name = "http://app/hooks/${SECRET}" })
	err := target.Handle(t.Context(), order())
	require.ErrorContains(t, err, "http://app/hooks/${SECRET}")
	require.NotContains(t, err.Error(), "hunter2")
}
