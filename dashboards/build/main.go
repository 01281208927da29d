// Command build writes the Grafana dashboards that ship with an Observatory:
//
//	go run .            # into dashboards/grafana
//	go run . FOLDER
//
// It is a module of its own, so that what it is tested with (the parser of
// Prometheus) stays out of the product's.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// shipped is where the product embeds them from, seen from this module.
const shipped = "../grafana"

func main() {
	folder := shipped
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	if err := write(folder); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// files are the dashboards by the name of their file.
func files() map[string]dashboard {
	return map[string]dashboard{"observatory-overview.json": overview()}
}

func write(folder string) error {
	for name, d := range files() {
		text, err := d.JSON()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
