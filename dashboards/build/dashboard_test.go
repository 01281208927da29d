package build

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// The part of Grafana's classic dashboard model that the tests read.

type dashboard struct {
	Editable   bool
	Templating struct{ List []variable }
	Panels     []panel
}

type variable struct {
	Name, Label, Type, Query, AllValue string
	Datasource                         source
	Refresh                            int
	Multi, IncludeAll                  bool
}

type source struct{ UID string }

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               source
	GridPos                  struct{ H, W, X, Y int }
	Targets                  []target
	FieldConfig              struct {
		Defaults struct {
			Unit       string
			NoValue    string
			Thresholds struct{ Steps []struct{ Color string } }
		}
	}
}

type target struct {
	Datasource source
	Expr       string
}

// shippedDashboards are read from the files: what is tested is what ships.
func shippedDashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	all := map[string]dashboard{}
	for name, text := range texts(t, shipped) {
		var d dashboard
		require.NoError(t, json.Unmarshal([]byte(text), &d), name)
		all[name] = d
	}
	require.NotEmpty(t, all)
	return all
}

func TestPanelsLieSideBySideWithoutOverlap(t *testing.T) {
	t.Parallel()
	const columns = 24
	for name, d := range shippedDashboards(t) {
		taken := map[[2]int]string{}
		ids := map[int]bool{0: true} // Grafana would give a number of its own
		for _, p := range d.Panels {
			require.False(t, ids[p.ID], "%s: id %d of %s is no id or taken", name, p.ID, p.Title)
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

// Grafana's own thresholds colour everything from 80 on red: an engine that is
// up for two minutes.
func TestNoColourComesFromGrafanasOwnThresholds(t *testing.T) {
	t.Parallel()
	for _, d := range shippedDashboards(t) {
		for _, p := range d.Panels {
			if p.Type == "stat" || p.Type == "state-timeline" {
				require.NotEmpty(t, p.FieldConfig.Defaults.Thresholds.Steps, p.Title)
			}
		}
	}
}

// Grafana shows a figure without a value in the colour of the first step.
func TestAFigureThatIsNotKnownLooksLikeNoOther(t *testing.T) {
	t.Parallel()
	figures := 0
	for _, d := range shippedDashboards(t) {
		for _, p := range d.Panels {
			if p.Type != "stat" {
				continue
			}
			figures++
			require.Equal(t, "unknown", p.FieldConfig.Defaults.NoValue, p.Title)
			first, others := p.FieldConfig.Defaults.Thresholds.Steps[0], p.FieldConfig.Defaults.Thresholds.Steps[1:]
			require.NotEmpty(t, others, p.Title)
			require.NotContains(t, append(others, struct{ Color string }{"green"}), first, p.Title)
		}
	}
	require.Positive(t, figures)
}
