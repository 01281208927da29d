package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "github.com/observatory-go/observatory/engine/adapters" // the binary under test has it: a result is not kept when it changes
)

// A short run of the whole: servers, replicas and faults are real. What the long
// one shows is in README.md.
func TestAShortRunHoldsItsBoundsAndKeepsItsHistory(t *testing.T) {
	dir := t.TempDir()
	o, err := parse([]string{"--only", "stop,redis-kill", "--seconds", "5", "--rate", "300", "--history", dir})
	require.NoError(t, err)
	var out, progress bytes.Buffer
	held, err := run(t.Context(), o, &out, &progress)
	require.NoError(t, err, progress.String())
	assert.True(t, held, out.String())
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, len(line), 101, line)
	}
	for _, name := range o.only {
		kinds := map[string]int{}
		file, err := os.Open(filepath.Join(dir, name, "history.jsonl"))
		require.NoError(t, err)
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			var r record
			require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
			kinds[r.Kind]++
		}
		require.NoError(t, errors.Join(lines.Err(), file.Close()))
		assert.Greater(t, kinds[kindPublish], 500, name)
		assert.Greater(t, kinds[kindCall], 500, name)
		assert.Positive(t, kinds[kindFault], name)
		assert.Equal(t, kinds[kindFault], kinds[kindMend], name)
	}
}

func TestABrokenBoundFailsTheRun(t *testing.T) {
	r := result{scenario: scenario{name: "kill"}, counts: counts{ok: 7, lost: 1}, broken: []string{"1 messages were lost"}}
	var out bytes.Buffer
	assert.False(t, printResults(&out, options{claim: time.Second}, []result{{scenario: scenario{name: "stop"}}, r}))
	assert.Contains(t, out.String(), "BROKEN  kill: 1 messages were lost\n")
}

func TestWrongFlagsAreNamed(t *testing.T) {
	_, err := parse([]string{"--only", "kill,kil", "--rate", "0", "--claim", "1ms"})
	require.Error(t, err)
	require.ErrorContains(t, err, `no scenario is called "kil"; --list has their names`)
	require.ErrorContains(t, err, "--rate must be 1 to 100000, got 0")
	assert.ErrorContains(t, err, "--claim must be at least 1s, got 1ms")
}
