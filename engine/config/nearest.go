package config

import "strings"

// The most that is compared: longer words, and the names behind so many, are
// never what was meant.
const (
	maxNearLength = 100
	maxNearNames  = 100
)

// nearest returns the name that differs least from word, or "" where none is
// near enough to be what was meant.
func nearest(word string, names []string) string {
	if len(word) > maxNearLength {
		return ""
	}
	names = names[:min(len(names), maxNearNames)]
	best, limit := "", max(len(word)/3, 2)+1
	for _, name := range names {
		if len(word) > 4 && strings.HasPrefix(name, word) { // an end left off, such as a unit
			return name
		}
		if d := distance(strings.ToLower(word), strings.ToLower(name)); d < limit && d < len(name) {
			best, limit = name, d
		}
	}
	return best
}

// distance is Levenshtein's: the insertions, deletions and replacements that
// make a out of b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
