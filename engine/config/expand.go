package config

import (
	"errors"
	"fmt"
	"io/fs"
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

// url expands the text anew, as a URL.
func (e *expanded) url() (urlText, error) { return expandURL(e.raw, e.env) }

const filePrefix = "file:"

// expand replaces `${NAME}`, `${NAME|default}` and `${file:/path}` in a text.
// The value of a variable is expanded in turn, the content of a file is not: it
// may be any secret. A default is used only where the variable is not set.
func expand(text string, env lookup) (string, error) {
	return expander{env: env, left: new(maxExpansion)}.text(text)
}

var errEndless = errors.New("its variables refer to each other without end")

type expander struct {
	env  lookup
	left *int // of maxExpansion
	// within are the variables whose values are being expanded.
	within []string
	// literal is set where the text is a file's content: not expanded.
	literal bool
}

func (x expander) text(text string) (string, error) {
	var b strings.Builder
	var errs []error
	for text != "" {
		before, name, after, found := cutReference(text)
		errs = append(errs, x.checkText(before))
		b.WriteString(before)
		if !found {
			break
		}
		value, err := x.reference(name)
		errs = append(errs, err)
		b.WriteString(value)
		if *x.left -= referenceCost + len(value); *x.left < 0 {
			return "", errEndless
		}
		text = after
	}
	return b.String(), errors.Join(errs...)
}

// checkText says whether a text of the file, which holds no reference, was meant to
// hold one. What a variable holds may be any text.
func (x expander) checkText(text string) error {
	switch {
	case len(x.within) > 0 || !strings.Contains(text, "${"):
		return nil
	case strings.Contains(text, "${}"):
		return errNameless
	}
	return errors.New("a ${ has no closing brace: expected ${NAME}, ${NAME|default} or ${file:/path}")
}

var errNameless = errors.New("a ${…} names nothing: expected ${NAME}, ${NAME|default} or ${file:/path}")

// reference returns the value of what stands between the braces.
func (x expander) reference(inner string) (string, error) {
	text, in, err := x.find(inner)
	if err != nil {
		return "", err
	}
	return in.fill(text)
}

// fill expands what find returned.
func (x expander) fill(text string) (string, error) {
	if x.literal {
		return text, nil
	}
	return x.text(text)
}

// find returns what a reference stands for, its own references not filled in,
// and the expander to fill them in with.
func (x expander) find(inner string) (text string, in expander, err error) {
	name, fallback, hasDefault := strings.Cut(inner, "|")
	if name == "" {
		return "", x, errNameless
	}
	if slices.Contains(x.within, name) {
		return "", x, fmt.Errorf("variable %s refers to itself", name)
	}
	if path, ok := strings.CutPrefix(name, filePrefix); ok {
		content, err := readFile(path, maxExpansion)
		switch {
		case err == nil:
			x.literal = true
			return strings.TrimRight(string(content), "\r\n"), x, nil
		case hasDefault && errors.Is(err, fs.ErrNotExist):
			return fallback, x, nil
		}
		return "", x, fmt.Errorf("file of ${%s%s} cannot be read: %w", filePrefix, path, err)
	}
	if value, set := x.env(name); set {
		x.within = append(slices.Clone(x.within), name)
		return value, x, nil
	}
	if hasDefault {
		return fallback, x, nil
	}
	if n := len(x.within); n > 0 { // the name may be a part of a secret
		return "", x, fmt.Errorf("what variable %s holds names another that is not set: it must not hold ${ unless that is meant; a ${file:…} may hold anything", x.within[n-1])
	}
	return "", x, fmt.Errorf("environment variable %s is not set, and has no default (${%s|default})", name, name)
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
