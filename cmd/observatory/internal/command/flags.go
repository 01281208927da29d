package command

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
)

// flags are what the command line says, and where a command writes.
type flags struct {
	stdout, stderr io.Writer

	options app.Options
	json    bool
}

func (f *flags) addLog(line *kingpin.Application) {
	line.Flag("log.level", "Least severe level that is logged: debug, info, warn, error. Default: the file's [logging] level, else info.").
		EnumVar(&f.options.LogLevel, "debug", "info", "warn", "error")
	line.Flag("log.format", "Format of the log: text or json. Default: the file's [logging] format, else text on a terminal and JSON elsewhere.").
		EnumVar(&f.options.LogFormat, "text", "json")
}

func (f *flags) addConfig(c *kingpin.CmdClause, help string) {
	c.Flag("config", help).PlaceHolder("PATH").Envar("OBSERVATORY_CONFIG").StringVar(&f.options.ConfigPath)
}

func (f *flags) addJSON(c *kingpin.CmdClause) {
	c.Flag("json", "Print JSON.").Envar("OBSERVATORY_JSON").BoolVar(&f.json)
}

// print writes a result to standard output: as JSON where --json is given, else
// as its text.
func (f *flags) print(result any, text func() string) error {
	if !f.json {
		_, err := io.WriteString(f.stdout, text())
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
	fmt.Fprintf(f.stderr, "observatory: %v\n", err)
	return exitFailed
}
