package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/adapters"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/domain"
)

// Configuration is the configuration that was taken, and why this one.
type Configuration struct {
	*config.Config
	// Sample is true for the embedded one.
	Sample bool
	// Found is true for a file that was found, not named.
	Found bool
	// Origin is the reason why this one was taken, for people.
	Origin string
}

// LoadConfiguration reads the file that was named, else the one that is found,
// else the embedded sample.
func LoadConfiguration(o Options) (Configuration, error) {
	if o.Embedded {
		return sample("asked for by --embedded; no file was read")
	}
	if o.ConfigPath != "" {
		return load(o.ConfigPath, "named by --config")
	}
	dir, err := os.Getwd()
	if err != nil {
		return Configuration{}, fmt.Errorf("working folder: %w; name a file with --config", err)
	}
	if path, ok := config.Find(dir); ok {
		c, err := load(path, "found from this folder upwards")
		c.Found = err == nil
		return c, err
	}
	return sample("no domain.toml in this folder, its parent or its grandparent")
}

func load(path, origin string) (Configuration, error) {
	c, err := config.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Configuration{}, fmt.Errorf("configuration file %s does not exist; name another with --config, or use --embedded", path)
	}
	return Configuration{Config: c, Origin: origin}, err
}

func sample(origin string) (Configuration, error) {
	c, err := config.Parse(samplePath, sampleConfig)
	return Configuration{Config: c, Sample: true, Origin: origin}, err
}

// Open opens the configuration with all adapters, and registers the sample's
// handlers where it is the sample. No server is contacted. The caller closes
// the domain.
func (c Configuration) Open(ctx context.Context, log *slog.Logger) (*domain.Domain, error) {
	with := adapters.All()
	if c.Sample {
		with.Brokers[inMemory] = func(domain.BrokerSpec) (engine.Broker, error) {
			return memorybroker.New(memorybroker.WithMaxLen(sampleMaxLen)), nil
		}
	}
	d, err := domain.Open(ctx, c.Config, with, domain.WithLogger(log))
	if err != nil || !c.Sample {
		return d, err
	}
	if err := d.Register(sampleHandlers()...); err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	return d, nil
}

// inMemory is the provider of a broker that lives in the process which uses it.
const inMemory = "inline"
