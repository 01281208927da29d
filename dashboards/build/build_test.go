package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShippedDashboardsAreThoseBuiltHere(t *testing.T) {
	t.Parallel()
	built := t.TempDir()
	require.NoError(t, write(built))

	for name := range files() {
		want, err := os.ReadFile(filepath.Join(built, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(shipped, name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "run `go run .` in dashboards/build")
	}

	all, err := filepath.Glob(filepath.Join(shipped, "*.json"))
	require.NoError(t, err)
	require.Len(t, all, len(files()), "a dashboard that nothing builds")
}

func TestPanelsLieSideBySideWithoutOverlap(t *testing.T) {
	t.Parallel()
	for name, d := range files() {
		taken := map[[2]int]string{}
		ids := map[int]bool{}
		for _, p := range d.Panels {
			require.False(t, ids[p.ID], "%s: id %d twice", name, p.ID)
			ids[p.ID] = true
			require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, columns, p.Title)
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					require.Empty(t, taken[[2]int{x, y}], "%s lies on %s", p.Title, taken[[2]int{x, y}])
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}
