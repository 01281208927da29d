package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/observatory-go/observatory/engine/config"
)

// chosen is the configuration that was taken, and how it is called.
type chosen struct {
	*config.Config
	// sample says that it is the embedded one.
	sample bool
	// origin says where it came from, for people.
	origin string
}

// choose takes the file that was named, else the one that is found, else the
// embedded sample.
func choose(o Options) (chosen, error) {
	if o.Embedded {
		return sample("asked for by --embedded; no file was read")
	}
	if o.ConfigPath != "" {
		return load(o.ConfigPath, "named by --config")
	}
	dir, err := os.Getwd()
	if err != nil {
		return chosen{}, fmt.Errorf("working folder: %w; name a file with --config", err)
	}
	if path, ok := config.Find(dir); ok {
		return load(path, "found from this folder upwards; --config names another, --embedded takes none")
	}
	return sample("no domain.toml in this folder, its parent or its grandparent")
}

func load(path, origin string) (chosen, error) {
	c, err := config.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return chosen{}, fmt.Errorf("configuration file %s does not exist; name another with --config, or use --embedded", path)
	}
	return chosen{Config: c, origin: origin}, err
}

func sample(origin string) (chosen, error) {
	c, err := config.Parse(samplePath, sampleConfig)
	return chosen{Config: c, sample: true, origin: origin}, err
}
