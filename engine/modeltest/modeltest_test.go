package modeltest_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/modeltest"
)

func seedsOf(t *testing.T, count uint64) (seeds []uint64) {
	t.Helper()
	modeltest.Run(t, count, func(_ *testing.T, seed uint64) { seeds = append(seeds, seed) })
	return seeds
}

func TestTheEnvironmentSaysFromWhichSeedsAModelRuns(t *testing.T) {
	t.Setenv("MODEL_SEEDS", "")
	t.Setenv("MODEL_SEED", "")
	require.Equal(t, []uint64{0, 1, 2}, seedsOf(t, 3))
	t.Setenv("MODEL_SEEDS", "4")
	require.Equal(t, []uint64{0, 1, 2, 3}, seedsOf(t, 3))
	t.Setenv("MODEL_SEED", "17003")
	require.Equal(t, []uint64{17003}, seedsOf(t, 3))
}

// Its failures are those that the tests below have another process show.
const asFailing = "MODEL_THAT_FAILS"

func TestAModelThatFailsFromItsThirdSeed(t *testing.T) {
	if os.Getenv(asFailing) == "" {
		t.Skip("run by the tests below")
	}
	modeltest.Run(t, 3, func(t *testing.T, seed uint64) {
		if seed == 2 {
			t.Error("as planned")
		}
	})
}

func failing(t *testing.T, environment ...string) string {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run", "^TestAModelThatFailsFromItsThirdSeed$")
	command.Env = append(append(os.Environ(), asFailing+"=1"), environment...)
	output, err := command.CombinedOutput()
	require.Error(t, err)
	return string(output)
}

func TestASeedThatFailsIsPrintedWithTheLineThatRunsItAlone(t *testing.T) {
	output := failing(t, "MODEL_SEEDS=", "MODEL_SEED=")
	require.Contains(t, output, "this seed alone: MODEL_SEED=2 go test -run '^TestAModelThatFailsFromItsThirdSeed$' .")
	require.NotContains(t, output, "MODEL_SEED=1")
}

func TestSeedsThatAreNoNumberFailTheTest(t *testing.T) {
	require.Contains(t, failing(t, "MODEL_SEEDS=many", "MODEL_SEED="), `MODEL_SEEDS is "many"; it must be a whole number, or not be set`)
	require.Contains(t, failing(t, "MODEL_SEEDS=", "MODEL_SEED=-1"), `MODEL_SEED is "-1"; it must be a whole number, or not be set`)
}
