package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// LoadOption changes how a file is read.
type LoadOption func(*reading)

// Environ replaces the environment that variables and PROTEAN_ENV are looked up
// in; the default is the process' own.
func Environ(find func(name string) (value string, set bool)) LoadOption {
	return func(r *reading) { r.env = find }
}

type reading struct{ env lookup }

// maxConfiguration is how many bytes a configuration file may have.
const maxConfiguration = 64 << 20

// Load reads a configuration file. All its mistakes come back at once, with its
// warnings, in an [*InvalidError]; there is no Config then. Of a file that is no
// TOML there is one [*Error].
func Load(path string, options ...LoadOption) (*Config, error) {
	text, err := readFile(path, maxConfiguration)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(path, text, options...)
}

// Parse reads a configuration from text. The path says where it came from: it
// is named in errors, its folder names the domain where nothing else does, and
// the table of a pyproject.toml is tool.protean. An empty text is a domain that
// lives in memory.
func Parse(path string, text []byte, options ...LoadOption) (*Config, error) {
	r := reading{env: os.LookupEnv}
	for _, o := range options {
		o(&r)
	}
	if line, err := checkDepth(string(text)); err != nil {
		return nil, &Error{File: fmt.Sprintf("%s:%d", path, line), Expected: err.Error()}
	}
	file := map[string]any{}
	if err := toml.Unmarshal(text, &file); err != nil {
		return nil, syntaxError(path, err)
	}
	if filepath.Base(path) == pyproject {
		file = protean(file)
	}
	return r.config(path, file)
}

// config reads what a file's table holds.
func (r reading) config(path string, file map[string]any) (*Config, error) {
	environment, _ := r.env("PROTEAN_ENV")
	_, overlaid := overlayOf(file, environment)
	p := &problems{file: path, environment: environment, overlaid: overlaid}
	root := section{tree: forEnvironment(file, environment, r.env, p), problems: p}
	c := newConfig(path, environment, root)
	if err := p.err(); err != nil {
		return nil, err
	}
	c.Overlaid, c.Warnings = overlaid, p.warnings
	return c, nil
}

// quotedText is what the parser repeats of the file, beyond one character.
var quotedText = regexp.MustCompile(`(?s)'[^']{2,}'|"[^"]{2,}"|\x60[^\x60]{2,}\x60`)

// syntaxError says where a file is no TOML. What stands there is not repeated,
// since it may be a secret without its quotes: only a key that is known is named.
func syntaxError(path string, err error) error {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return fmt.Errorf("configuration %s: no valid TOML", path)
	}
	e := &Error{File: fmt.Sprintf("%s:%d", path, parse.Position.Line), Expected: "no valid TOML: " + quotedText.ReplaceAllString(parse.Message, masked)}
	if last := parse.LastKey[strings.LastIndexByte(parse.LastKey, '.')+1:]; slices.ContainsFunc(table, func(r row) bool { return r.name == last }) {
		e.Key = parse.LastKey
		if secretKey(last) || slices.Contains(urlKeys, last) {
			e.Expected = "no valid TOML here"
		}
	}
	return e
}
