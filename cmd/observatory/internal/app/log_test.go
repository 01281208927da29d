package app

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/testlog"
)

// disk is a file on a disk that may be full.
type disk struct {
	testlog.Output
	full bool
}

func (d *disk) Write(text []byte) (int, error) {
	if d.full {
		return 0, errors.New("no space left on device")
	}
	return d.Output.Write(text)
}

func TestLogLinesThatCouldNotBeWrittenAreCounted(t *testing.T) {
	t.Parallel()
	d := &disk{full: true}
	log := newLogger(Options{Stderr: d, LogFormat: "text"}, config.Logging{}).With("component", "engine")
	log.Info("first")
	log.Info("second")
	d.full = false
	log.Info("third")
	log.Info("fourth")
	lines := d.Lines()
	require.Len(t, lines, 3)
	require.Contains(t, lines[0], "msg=third")
	require.Contains(t, lines[1], `level=WARN msg="log lines could not be written" component=engine lines=2`)
	require.Contains(t, lines[2], "msg=fourth")
}
