package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/gauges"
)

// engineName is our engine as it comes: checksums verified, metrics on.
const engineName = "engine"

// features are what a run of the engine leaves out, to show what each costs.
type features struct {
	checksums   bool
	metrics     bool
	concurrency int  // default 1
	streams     int  // default 1
	deliver     bool // over HTTP, in place of the handler
}

func engineContestants() []contestant {
	side := features{checksums: true, metrics: true, concurrency: 16}
	return []contestant{
		{Name: engineName, Note: "ours as it comes: checksums and metrics", consume: consumeEngine(features{checksums: true, metrics: true})},
		{Name: "engine-no-metrics", Note: "ours, checksums", consume: consumeEngine(features{checksums: true})},
		{Name: "engine-no-checksums", Note: "ours, metrics", consume: consumeEngine(features{metrics: true})},
		{Name: "engine-plain", Note: "ours, neither", consume: consumeEngine(features{})},
		{Name: "engine-16", Note: "ours as it comes, concurrency 16", consume: consumeEngine(side)},
		{Name: "engine-16-hot", Note: "the same, all messages of one aggregate a category", reads: hotStream, consume: consumeEngine(side)},
		{Name: "engine-16-spread", Note: "the same, each message of its own aggregate", reads: spreadStream, consume: consumeEngine(side)},
		manyContestant(),
	}
}

// consumeEngine runs one subscription through the public API.
func consumeEngine(f features) func(context.Context, *round) error {
	return func(ctx context.Context, r *round) (err error) {
		source, err := redisbroker.New(redisbroker.Config{
			URI: func() (string, error) { return "redis://" + r.addr + "/0", nil },
		})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closeBroker(ctx, source)) }()
		config := f.config(r, source)
		if f.deliver {
			fn, closeTarget, err := delivering(r)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeTarget()) }()
			config.Subscriptions[0].Func = fn
		}
		e, err := engine.New(config)
		if err != nil {
			return err
		}
		if f.metrics {
			telemetry, err := gauges.NewTelemetry(ctx, gauges.TelemetryConfig{Producers: []sdkmetric.Producer{e.Producer()}})
			if err != nil {
				return fmt.Errorf("metrics: %w", err)
			}
			defer func() { err = errors.Join(err, telemetry.Shutdown(context.WithoutCancel(ctx))) }()
		}
		return e.Run(ctx)
	}
}

// config is what a program would write, at a hundred messages a tick.
func (f features) config(r *round, source consumergroup.Broker) engine.Config {
	config := engine.Config{
		Domain: "bench",
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Health: engine.HealthConfig{Disabled: true},
		Subscriptions: []engine.Subscription{{
			Config: subscription.Config{
				Domain: "bench", Handler: "bench.Handler", Group: r.group, Stream: r.stream,
				MessagesPerTick: batch, DeadLetters: true, SkipChecksums: !f.checksums, Concurrency: f.concurrency,
			},
			Func: func(_ context.Context, m *message.Envelope) error {
				r.handle(m.Metadata.Headers.ID, m.Data)
				return nil
			},
			Source: consumergroup.Over(source),
		}},
	}
	if f.streams > 1 {
		config.Subscriptions = overStreams(config.Subscriptions[0], f.streams)
	}
	if !f.metrics {
		config.MeterProvider = noop.NewMeterProvider()
	}
	return config
}

// closeBroker closes under a deadline of its own: ctx has ended by now.
func closeBroker(ctx context.Context, b *redisbroker.Broker) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return b.Close(ctx)
}
