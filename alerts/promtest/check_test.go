package promtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/alerts/promtest"
)

func TestWhatAnExpressionNamesBeyondTheExpositionIsFound(t *testing.T) {
	t.Parallel()
	exposed := promtest.Parse("# HELP protean_lag Text.\n" +
		"protean_lag{stream=\"a,b=\\\"c\\\"\",handler=\"H\"} 1\n" +
		"protean_up 1\n")
	require.Equal(t, promtest.Exposition{"protean_lag": {"stream", "handler"}, "protean_up": nil}, exposed)

	for expr, want := range map[string][]string{
		`max without (instance) (protean_lag{job="o", stream="protean_gone"}) > 0`: nil,
		`protean_gone > 0`:                             {"metric protean_gone"},
		`protean_up{stream="x"}`:                       {"label stream of protean_up"},
		`sum by (le, handler) (rate(protean_lag[5m]))`: {"label le of protean_lag"},
		"protean_lag unless\n on (group)\n protean_up": {"label group of protean_lag, protean_up"},
		`up{job="o"}`:                                  nil,
	} {
		require.Equal(t, want, exposed.Unknown(expr), expr)
	}
}
