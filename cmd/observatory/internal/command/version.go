package command

import (
	"encoding/json"
	"fmt"

	"github.com/alecthomas/kingpin/v2"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
)

// versionCommand is the one command that takes no configuration.
const versionCommand = "version"

func addVersion(line *kingpin.Application, shared *flags) (name string, run func() int) {
	c := line.Command(versionCommand, "Print version and build information.")
	shared.addJSON(c)
	return c.FullCommand(), func() int { return shared.exitOf(version(shared)) }
}

func version(f *flags) error {
	b := app.Build()
	if f.json {
		return json.NewEncoder(f.stdout).Encode(b)
	}
	_, err := fmt.Fprintf(f.stdout, "observatory %s (revision %s, %s)\n", b.Version, b.Revision, b.GoVersion)
	return err
}
