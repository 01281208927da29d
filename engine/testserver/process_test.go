package testserver

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAServerThatIsNotInstalledIsNamedWithTheLineThatInstallsIt(t *testing.T) {
	t.Parallel()
	_, err := find("no-such-server", installRedis, "/nowhere/*/bin")
	require.ErrorContains(t, err, "no-such-server is not in the PATH")
	require.ErrorContains(t, err, "apt-get install -y redis-server")
	require.ErrorContains(t, err, "brew install redis")
}

func TestAServerOffThePathIsFoundInItsFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "15", "bin", "an-unusual-server")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, nil, 0o755))
	found, err := find("an-unusual-server", installPostgres, filepath.Join(dir, "*", "bin"))
	require.NoError(t, err)
	require.Equal(t, path, found)
}

func TestAServerThatEndsAtOnceSaysWhy(t *testing.T) {
	t.Parallel()
	s := &RedisProcess{dir: t.TempDir(), args: []string{"--no-such-option", "1"}}
	require.ErrorContains(t, s.start(), "no-such-option")
}

func TestAChildThatEndedIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	p, err := start(nil, "/bin/sh", "-c", "echo gone; exit 3")
	require.NoError(t, err)
	err = p.await(func() error { return errors.New("no answer") })
	require.ErrorContains(t, err, "gone")
	require.NoError(t, p.stop(15))
}
