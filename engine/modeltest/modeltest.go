// Package modeltest runs models of protocols, which are tests of the real code in a
// random history, from as many seeds as the environment says.
package modeltest

import (
	"os"
	"strconv"
	"testing"
)

const (
	// countVariable says from how many seeds each model runs, from 0 on.
	countVariable = "MODEL_SEEDS"
	// seedVariable is the one seed from which each model runs.
	seedVariable = "MODEL_SEED"
)

// Run runs a model from the seeds 0 to count-1, each as a subtest that is named
// after it. MODEL_SEEDS in the environment replaces count, and MODEL_SEED names the
// one seed to run from; a seed that fails is logged with the line that does. The
// test fails where one of the two is not a whole number.
func Run(t *testing.T, count uint64, model func(t *testing.T, seed uint64)) {
	t.Helper()
	from, to := uint64(0), number(t, countVariable, count)
	if os.Getenv(seedVariable) != "" {
		from = number(t, seedVariable, 0)
		to = from + 1
	}
	test := t.Name()
	for seed := from; seed < to; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("this seed alone: %s=%d go test -run '^%s$' .", seedVariable, seed, test)
				}
			})
			model(t, seed)
		})
	}
}

func number(t *testing.T, variable string, unset uint64) uint64 {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		return unset
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		t.Fatalf("%s is %q; it must be a whole number, or not be set", variable, value)
	}
	return n
}
