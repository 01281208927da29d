package app

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/testlog"
)

// disk is a file on a disk that may be full, or hang: each write waits for its
// answer, until answers is closed.
type disk struct {
	testlog.Output
	answers chan error
}

func (d *disk) Write(text []byte) (int, error) {
	if d.answers != nil {
		if err := <-d.answers; err != nil {
			return 0, err
		}
	}
	return d.Output.Write(text)
}

func TestAllThatIsLoggedIsWrittenInItsOrder(t *testing.T) {
	t.Parallel()
	var d disk
	out := NewOutput(&d)
	log := newLogger(Options{Stderr: out, LogFormat: "text"}, config.Logging{})
	for i := range 2000 {
		fmt.Fprintf(out, "line %d\n", i)
		log.Info("line", "n", i)
	}
	out.Close()
	lines := d.Lines()
	require.Len(t, lines, 4000)
	for i := range 2000 {
		require.Equal(t, fmt.Sprint("line ", i), lines[2*i])
		require.Contains(t, lines[2*i+1], fmt.Sprintf("msg=line n=%d", i))
	}
	fmt.Fprintln(out, "late")
	require.Len(t, d.Lines(), 4000)
}

func TestLogLinesThatCouldNotBeWrittenAreCounted(t *testing.T) {
	t.Parallel()
	d, full := &disk{answers: make(chan error)}, errors.New("no space left on device")
	out := NewOutput(d)
	log := newLogger(Options{Stderr: out, LogFormat: "text"}, config.Logging{}).With("component", "engine")
	log.Info("first")
	log.Info("second")
	d.answers <- full // the first is lost
	d.answers <- full // so is the line that says so, and the second
	log.Info("third")
	close(d.answers)
	log.Info("fourth")
	out.Close()
	lines := d.Lines()
	require.Len(t, lines, 3)
	require.Contains(t, lines[0], `level=WARN msg="log lines could not be written" lines=2`)
	require.Contains(t, lines[1], "msg=third")
	require.Contains(t, lines[2], "msg=fourth")
}

func TestWhatIsLoggedWhileWritingHangsIsDroppedAboveABoundAndCounted(t *testing.T) {
	t.Parallel()
	d := &disk{answers: make(chan error)}
	out := NewOutput(d)
	log := newLogger(Options{Stderr: out, LogFormat: "json"}, config.Logging{})
	filling := strings.Repeat("x", 100)
	const lines = 3 * maxUnwritten / 100
	for i := range lines {
		log.Info("line", "text", filling, "n", i) // returns at once
	}
	close(d.answers)
	out.Close()
	written := d.Lines()
	kept := len(written) - 1
	require.Less(t, kept, lines/2)
	require.Contains(t, written[kept-1], fmt.Sprintf(`"n":%d}`, kept-1), "what is kept has no gap")
	require.Contains(t, written[kept], fmt.Sprintf(`"level":"WARN","msg":"log lines could not be written","lines":%d}`, lines-kept))
}
