package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheNearestFileIsFound(t *testing.T) {
	t.Parallel()
	const ours, others = "[tool.protean]\nenv = \"x\"", "[tool.black]\nline-length = 100"
	tests := map[string]struct {
		files map[string]string // below the grandparent
		want  string
	}{
		"none":                        {nil, ""},
		"here":                        {map[string]string{"parent/dir/domain.toml": ""}, "parent/dir/domain.toml"},
		"the hidden one first":        {map[string]string{"parent/dir/domain.toml": "", "parent/dir/.domain.toml": ""}, "parent/dir/.domain.toml"},
		"pyproject last":              {map[string]string{"parent/dir/domain.toml": "", "parent/dir/pyproject.toml": ours}, "parent/dir/domain.toml"},
		"pyproject":                   {map[string]string{"parent/dir/pyproject.toml": ours}, "parent/dir/pyproject.toml"},
		"parent":                      {map[string]string{"parent/domain.toml": "", "domain.toml": ""}, "parent/domain.toml"},
		"grandparent":                 {map[string]string{"domain.toml": ""}, "domain.toml"},
		"nearer beats better":         {map[string]string{"parent/dir/pyproject.toml": ours, "parent/.domain.toml": ""}, "parent/dir/pyproject.toml"},
		"a pyproject of another tool": {map[string]string{"parent/dir/pyproject.toml": others, "domain.toml": ""}, "domain.toml"},
		"a folder of that name":       {map[string]string{"parent/dir/domain.toml/x": "", "domain.toml": ""}, "domain.toml"},
		"too far up":                  {map[string]string{"../domain.toml": ""}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := filepath.Join(t.TempDir(), "grandparent")
			dir := filepath.Join(top, "parent", "dir")
			require.NoError(t, os.MkdirAll(dir, 0o700))
			for path, text := range test.files {
				path = filepath.Join(top, path)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
				require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			}
			got, ok := Find(dir)
			require.Equal(t, test.want != "", ok)
			if ok {
				require.Equal(t, filepath.Join(top, test.want), got)
			}
		})
	}
}

func TestAPyprojectIsReadFromItsOwnTable(t *testing.T) {
	t.Parallel()
	c, err := Parse("pyproject.toml", []byte("[observatory]\nname = \"not this\"\n[tool.protean.observatory]\nname = \"shop\""))
	require.NoError(t, err)
	require.Equal(t, "shop", c.Name)
}

func TestAFileThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	_, err := Load(filepath.Join(t.TempDir(), "domain.toml"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestAnEmptyFileIsADomainInMemory(t *testing.T) {
	t.Parallel()
	c := parse(t, "")
	require.Equal(t, "inline", c.Brokers["default"].Provider)
	require.Equal(t, "memory", c.Databases["default"].Provider)
	require.Equal(t, Health{Enabled: true, Host: "0.0.0.0", Port: 8080}, c.Health)
	require.Equal(t, "127.0.0.1:9000", c.Observatory.ListenAddress)
	require.True(t, c.Observatory.Metrics)
	require.True(t, c.Observatory.VerifyChecksums)
	require.Equal(t, "10s", c.Observatory.ShutdownTimeout.String())
	require.EqualValues(t, 268435456, c.Observatory.MaxInflightBytes)
	require.Equal(t, Telemetry{Exporter: "otlp", ResourceAttributes: map[string]string{}}, c.Telemetry)
	require.Equal(t, Logging{Format: "auto"}, c.Logging)
	require.Empty(t, c.Warnings)
}
