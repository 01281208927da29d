package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// lookup finds an environment variable, as os.LookupEnv does.
type lookup func(name string) (string, bool)

// maxExpansion bounds one value, in bytes that variables put in, a reference
// counting as some: variables that name each other twice over double the work
// with each step.
const (
	maxExpansion  = 1 << 20
	referenceCost = 32
)

// expanded is a text of the file that held `${…}`. Its raw form is kept, so
// that a secret's file can be read again for every new connection.
type expanded struct {
	raw    string
	text   string
	env    lookup
	failed bool // reported already
}

// again expands the text anew.
func (e *expanded) again() (string, error) { return expand(e.raw, e.env) }

// show prefers the text that arrived, unless it came from a file: what is kept
// out of the environment is a secret.
func (e *expanded) show(key string) string {
	if strings.Contains(e.raw, "${"+filePrefix) {
		return show(key, e.raw)
	}
	return show(key, e.text)
}

const filePrefix = "file:"

// expand replaces `${NAME}`, `${NAME|default}` and `${file:/path}` in a text.
// The value of a variable is expanded in turn, the content of a file is not: it
// may be any secret. A default is used only where the variable is not set.
func expand(text string, env lookup) (string, error) {
	return expander{env: env, left: new(maxExpansion)}.text(text)
}

type expander struct {
	env  lookup
	left *int // of maxExpansion
	// within are the variables whose values are being expanded.
	within []string
}

func (x expander) text(text string) (string, error) {
	var b strings.Builder
	var errs []error
	for text != "" {
		before, name, after, found := cutReference(text)
		b.WriteString(before)
		if !found {
			break
		}
		value, err := x.reference(name)
		errs = append(errs, err)
		b.WriteString(value)
		if *x.left -= referenceCost + len(value); *x.left < 0 {
			return "", errors.New("its variables refer to each other without end")
		}
		text = after
	}
	return b.String(), errors.Join(errs...)
}

// reference returns the value of what stands between the braces.
func (x expander) reference(inner string) (string, error) {
	name, fallback, hasDefault := strings.Cut(inner, "|")
	if slices.Contains(x.within, name) {
		return "", fmt.Errorf("variable %s refers to itself", name)
	}
	if path, ok := strings.CutPrefix(name, filePrefix); ok {
		return x.file(path, fallback, hasDefault)
	}
	value, set := x.env(name)
	if set {
		x.within = append(slices.Clone(x.within), name)
		return x.text(value)
	}
	if hasDefault {
		return x.text(fallback)
	}
	return "", fmt.Errorf("environment variable %s is not set, and has no default (${%s|default})", name, name)
}

func (x expander) file(path, fallback string, hasDefault bool) (string, error) {
	content, err := readSome(path)
	if err == nil {
		return strings.TrimRight(string(content), "\r\n"), nil
	}
	if hasDefault && errors.Is(err, fs.ErrNotExist) {
		return x.text(fallback)
	}
	return "", fmt.Errorf("file of ${%s%s} cannot be read: %w", filePrefix, path, err)
}

// readSome reads a file that is not expected to be long.
func readSome(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxExpansion))
}

// cutReference finds the first `${…}`. Braces inside are paired, so that a
// default may be a reference or a JSON object itself; where they do not pair,
// the first closing one counts.
func cutReference(text string) (before, inner, after string, found bool) {
	start := strings.Index(text, "${")
	if start < 0 {
		return text, "", "", false
	}
	rest := text[start+2:]
	end := pairedBrace(rest)
	if end < 0 {
		end = strings.IndexByte(rest, '}')
	}
	if end < 0 {
		return text, "", "", false
	}
	if end == 0 { // `${}` names nothing: it is text
		before, inner, after, found = cutReference(rest[1:])
		return text[:start+3] + before, inner, after, found
	}
	return text[:start], rest[:end], rest[end+1:], true
}

func pairedBrace(text string) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return -1
}
