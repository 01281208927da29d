package command

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// terminalWidth is how wide a table is on a terminal. Elsewhere, where programs
// read it, names keep their length.
const terminalWidth = 100

// table is the columns of a printed table.
type table []column

type column struct {
	text   string // the header
	number bool   // flush right
	name   bool   // shortened where the table is too wide
}

// gap stands between two columns, and shortest is as short as a name gets.
const (
	gap      = "  "
	shortest = 12
)

// lines are the header and a line for each row, made printable, as wide as their contents; at
// most width columns (0: any number) where shortening the names suffices.
func (t table) lines(rows [][]string, width int) []string {
	rows = slices.Clone(rows)
	for i, row := range rows {
		rows[i] = make([]string, len(row))
		for j, cell := range row {
			rows[i][j] = printable(cell)
		}
	}
	widths := make([]int, len(t))
	total := (len(t) - 1) * len(gap)
	for i, c := range t {
		widths[i] = utf8.RuneCountInString(c.text)
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		total += widths[i]
	}
	for ; width > 0 && total > width; total-- {
		longest := -1
		for i, c := range t {
			if c.name && widths[i] > shortest && (longest < 0 || widths[i] > widths[longest]) {
				longest = i
			}
		}
		if longest < 0 {
			break
		}
		widths[longest]--
	}

	header := make([]string, len(t))
	for i, c := range t {
		header[i] = c.text
	}
	lines := make([]string, 0, len(rows)+1)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(t))
		for i, c := range t {
			cell := shorten(row[i], widths[i])
			fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if cells[i] = cell + fill; c.number {
				cells[i] = fill + cell
			}
		}
		lines = append(lines, strings.TrimRight(strings.Join(cells, gap), " "))
	}
	return lines
}

// withoutEmpty is lines without the columns in which no row has a text.
func (t table) withoutEmpty(rows [][]string, width int) []string {
	var kept table
	keptRows := make([][]string, len(rows))
	for i, c := range t {
		if !slices.ContainsFunc(rows, func(row []string) bool { return row[i] != "" }) {
			continue
		}
		kept = append(kept, c)
		for j, row := range rows {
			keptRows[j] = append(keptRows[j], row[i])
		}
	}
	return kept.lines(keptRows, width)
}

// shorten replaces the middle of a text that is longer than n characters by an
// ellipsis: names tend to differ at their ends.
func shorten(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	end := n / 2
	return string(runes[:n-1-end]) + "…" + string(runes[len(runes)-end:])
}
