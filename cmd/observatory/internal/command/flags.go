package command

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kingpin/v2"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/engine/config"
)

// flags are what the command line says, and where a command writes.
type flags struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	options app.Options
	json    bool
}

func (f *flags) addLog(line *kingpin.Application) {
	line.Flag("log.level", "Least severe level that is logged: "+levels+", as in the file. Default: the file's [logging] level, else info.").
		SetValue(&choice{"log.level", &f.options.LogLevel, "one of " + levels, func(name string) bool { _, ok := config.LevelOf(name); return ok }})
	line.Flag("log.format", "Format of the log: "+formats+", as in the file; auto is text on a terminal and JSON elsewhere. Default: the file's [logging] format, else auto.").
		SetValue(&choice{"log.format", &f.options.LogFormat, "one of " + formats, config.IsLogFormat})
}

func (f *flags) addConfig(c *kingpin.CmdClause, help string) {
	c.Flag("config", help).PlaceHolder("PATH").Envar(configVariable).
		SetValue(&choice{"config", &f.options.ConfigPath, aFile, func(path string) bool { return path != "" }})
}

const (
	configVariable = "OBSERVATORY_CONFIG"
	aFile          = "the path of a configuration file; leave it out to have one searched"
)

// checkConfigVariable refuses the variable that is set and empty, as a deployment
// leaves it that forgot a value: another file would be taken.
func (f *flags) checkConfigVariable() error {
	if path, set := os.LookupEnv(configVariable); set && path == "" && f.options.ConfigPath == "" && !f.options.Embedded {
		return errorOf("config", path, aFile)
	}
	return nil
}

func (f *flags) addJSON(c *kingpin.CmdClause) {
	c.Flag("json", "Print JSON.").Envar("OBSERVATORY_JSON").SetValue(&toggle{"json", &f.json})
}

// The words of [logging].
const (
	levels  = "debug, info, warning, error, critical"
	formats = "auto, text, console, json"
)

// choice is a flag that takes some texts only. Its error names the flag and its
// variable, which the parser's own do not.
type choice struct {
	flag     string
	to       *string
	expected string
	valid    func(text string) bool
}

func (c *choice) String() string { return *c.to }

func (c *choice) Set(text string) error {
	if !c.valid(text) {
		return errorOf(c.flag, text, c.expected)
	}
	*c.to = text
	return nil
}

// toggle is a flag that is on or off.
type toggle struct {
	flag string
	to   *bool
}

func (t *toggle) String() string   { return strconv.FormatBool(*t.to) }
func (t *toggle) IsBoolFlag() bool { return true }

func (t *toggle) Set(text string) error {
	on, err := strconv.ParseBool(text)
	if err != nil {
		return errorOf(t.flag, text, "true or false")
	}
	*t.to = on
	return nil
}

// errorOf is what is wrong with the value of a flag or of its variable.
func errorOf(flag, text, expected string) error {
	variable := "OBSERVATORY_" + strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToUpper(flag))
	return fmt.Errorf("--%s, or the variable %s, is %q: expected %s", flag, variable, text, expected)
}

// printable is a text for one line of a terminal: what others wrote may have characters
// that control it. White space of another kind is a blank, and what cannot be printed an
// escape sequence of Go, such as \x1b.
func printable(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) < 0 {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			b.WriteRune(r)
		case r == '\n', r == '\t', r == '\r':
			b.WriteByte(' ')
		default:
			quoted := strconv.Quote(text[i : i+size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// printableLines makes each line of a text printable.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// print writes a result to standard output: as JSON where --json is given, else
// as its text, made printable.
func (f *flags) print(result any, text func() string) error {
	if !f.json {
		_, err := io.WriteString(f.stdout, printableLines(text()))
		return err
	}
	e := json.NewEncoder(f.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(result)
}

// exitOf prints an error, if there is one, and returns the exit code.
func (f *flags) exitOf(err error) int {
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(f.stderr, "observatory: %s\n", printableLines(err.Error()))
	return exitFailed
}
