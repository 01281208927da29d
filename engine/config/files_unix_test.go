//go:build unix

package config

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Opening a pipe waits for what writes to it.
func TestAPipeIsNotOpened(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"domain.toml", pyproject} {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		_, err := Load(path)
		require.ErrorContains(t, err, "is no regular file")
		_, found := Find(filepath.Dir(path))
		require.Equal(t, name != pyproject, found, "a pyproject.toml counts by what it holds")
		require.Contains(t, mistakes(t, "[observatory]\nname = \"${file:"+path+"}\"")[0], "is no regular file")
	}
}
