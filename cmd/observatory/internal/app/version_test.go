package app

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheRevisionIsFoundWhereverABuildRecordsIt(t *testing.T) {
	t.Parallel()
	const commit = "e138219adfb2105e82911c81a82525dcb8789329"
	recorded := []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: commit}}
	for name, c := range map[string]struct {
		linker BuildInfo
		info   debug.BuildInfo
		want   BuildInfo
	}{
		"go build in a clone": {
			info: debug.BuildInfo{Main: debug.Module{Version: "v1.2.3+dirty"}, Settings: recorded},
			want: BuildInfo{Version: "v1.2.3+dirty", Revision: commit},
		},
		"go install of a commit": {
			info: debug.BuildInfo{Main: debug.Module{Version: "v0.0.0-20261125154758-e138219adfb2"}},
			want: BuildInfo{Version: "v0.0.0-20261125154758-e138219adfb2", Revision: "e138219adfb2"},
		},
		"go install of a commit after a release": {
			info: debug.BuildInfo{Main: debug.Module{Version: "v1.2.4-0.20261125154758-e138219adfb2"}},
			want: BuildInfo{Version: "v1.2.4-0.20261125154758-e138219adfb2", Revision: "e138219adfb2"},
		},
		"go install of a release": {
			info: debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}},
			want: BuildInfo{Version: "v1.2.3"},
		},
		"go run": {
			info: debug.BuildInfo{Main: debug.Module{Version: "(devel)"}},
			want: BuildInfo{Version: "(devel)"},
		},
		"make build": {
			linker: BuildInfo{Version: "v1.2.3-4-ge138219", Revision: commit},
			info:   debug.BuildInfo{Main: debug.Module{Version: "(devel)"}},
			want:   BuildInfo{Version: "v1.2.3-4-ge138219", Revision: commit},
		},
	} {
		got := c.linker
		got.complete(&c.info)
		require.Equal(t, c.want, got, name)
	}
}
