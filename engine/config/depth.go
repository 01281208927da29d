package config

import (
	"errors"
	"strings"
)

// maxDepth is how many parts a dotted key may have, and how deep arrays and
// inline tables may lie in each other. The parser's work grows with the square
// of it.
const maxDepth = 100

// checkDepth refuses a text that is nested deeper than any configuration is, in
// one pass. It reads just enough of TOML for that: strings, comments, dots and
// brackets.
func checkDepth(text string) (line int, err error) {
	line = 1
	parts, open := 0, 0
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case '"', '\'':
			end := stringEnd(text, i)
			line += strings.Count(text[i:end], "\n")
			i = end
			continue
		case '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
			continue
		case '.':
			parts++
		case ' ', '\t':
		case '[', '{':
			open++
		case ']', '}':
			open = max(open-1, 0)
		case '\n':
			line++
			parts = 0
		case '=', ',':
			parts = 0
		}
		if parts >= maxDepth || open > maxDepth {
			return line, errors.New("expected a key of at most 100 parts, and values nested at most 100 deep")
		}
		i++
	}
	return 0, nil
}

// stringEnd is where the string that begins at start ends; for one that does not
// end, the end of its line or of the text.
func stringEnd(text string, start int) int {
	quote := text[start : start+1]
	multiline := strings.HasPrefix(text[start:], strings.Repeat(quote, 3))
	i := start + 1
	if multiline {
		quote, i = strings.Repeat(quote, 3), start+3
	}
	for i < len(text) {
		switch {
		case strings.HasPrefix(text[i:], quote):
			return i + len(quote)
		case text[i] == '\\' && quote[0] == '"':
			i++
		case text[i] == '\n' && !multiline:
			return i
		}
		i++
	}
	return len(text)
}
