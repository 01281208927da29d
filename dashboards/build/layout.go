package main

// columns is the width of Grafana's grid.
const columns = 24

// section is a row of the dashboard: a heading and the panels below it.
type section struct {
	title  string
	panels []panel
}

// layout numbers the panels and puts them side by side, a new line where the
// next one does not fit, a new heading for each section.
func layout(sections ...section) []panel {
	var placed []panel
	open := false
	y := 0
	for _, s := range sections {
		heading := panel{Type: "row", Title: s.title, Collapsed: &open}
		heading.GridPos = gridPos{H: 1, W: columns, Y: y}
		placed = append(placed, heading)
		y++
		x, height := 0, 0
		for _, p := range s.panels {
			if x+p.GridPos.W > columns {
				x, y, height = 0, y+height, 0
			}
			p.GridPos.X, p.GridPos.Y = x, y
			x, height = x+p.GridPos.W, max(height, p.GridPos.H)
			placed = append(placed, p)
		}
		y += height
	}
	for i := range placed {
		placed[i].ID = i + 1
	}
	return placed
}
