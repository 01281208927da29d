package config

import (
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"
)

// pyproject keeps the configuration of a domain in its table tool.protean.
const pyproject = "pyproject.toml"

var fileNames = []string{".domain.toml", "domain.toml", pyproject}

// generations is how many folders are searched: dir, its parent, its
// grandparent.
const generations = 3

// Find returns the first configuration file in dir, its parent and its
// grandparent, and whether there is one: in each folder .domain.toml, then
// domain.toml, then a pyproject.toml that has a table tool.protean.
func Find(dir string) (path string, ok bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	for range generations {
		for _, name := range fileNames {
			if path := filepath.Join(dir, name); configures(path) {
				return path, true
			}
		}
		dir = filepath.Dir(dir)
	}
	return "", false
}

// configures reports whether a file is there for a domain. One that cannot be
// read counts, so that loading it reports why; a pyproject.toml without
// Protean's table does not.
func configures(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return false
	}
	if filepath.Base(path) != pyproject {
		return true
	}
	text, err := readFile(path, maxConfiguration)
	var file map[string]any
	return err == nil && toml.Unmarshal(text, &file) == nil && protean(file) != nil
}

// protean is the table tool.protean of a pyproject.toml; nil if it has none.
func protean(file map[string]any) map[string]any {
	tool, _ := file["tool"].(map[string]any)
	table, _ := tool["protean"].(map[string]any)
	return table
}
