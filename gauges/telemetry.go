package gauges

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// TelemetryConfig is what a Telemetry measures and where it sends it.
type TelemetryConfig struct {
	// Off measures nothing: every instrument is a no-op, the registry stays
	// empty, and nothing is pushed.
	Off bool
	// ServiceName and ResourceAttributes describe this process to the receiver
	// of a push. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over them.
	ServiceName        string
	ResourceAttributes map[string]string
	// Push exports by OTLP over gRPC, as the OTEL_* variables of the
	// environment say (interval, headers, time-outs, certificates).
	// OTEL_SDK_DISABLED=true and OTEL_METRICS_EXPORTER=none turn it off.
	Push bool
	// Endpoint is the receiver, http://host:port (in the clear),
	// https://host:port, or host:port. It wins over
	// OTEL_EXPORTER_OTLP_ENDPOINT; without both it is localhost:4317 by TLS.
	Endpoint string
	// Producers count for themselves: [engine.Engine.Producer]. What they count
	// is scraped from Counters, and pushed.
	Producers []sdkmetric.Producer
	// Snapshots, if set, is where pushed infrastructure gauges come from.
	Snapshots Snapshots
	// Logger gets a line when pushing starts to fail and when it recovers;
	// default slog.Default().
	Logger *slog.Logger
}

// Telemetry is what a process counts: what the engine does, and what instruments
// of its one meter provider count. It is scraped from Counters, and pushed if so
// configured.
type Telemetry struct {
	provider metric.MeterProvider
	registry *prometheus.Registry
	counters prometheus.TransactionalGatherer
	shutdown func(context.Context) error
}

// NewTelemetry builds the provider. It connects to nothing; Shutdown ends it.
func NewTelemetry(ctx context.Context, config TelemetryConfig) (*Telemetry, error) {
	t := &Telemetry{
		provider: noop.NewMeterProvider(),
		registry: prometheus.NewRegistry(),
		shutdown: func(context.Context) error { return nil },
	}
	t.counters = prometheus.ToTransactionalGatherer(t.registry)
	if config.Off {
		return t, nil
	}
	config.Logger = component(config.Logger)
	if len(config.Producers) > 0 {
		t.counters = counters{producers: config.Producers, rest: t.counters, own: newExpositions(nil, config.Producers, config.Logger)}
	}
	options, err := t.options(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	sdk := sdkmetric.NewMeterProvider(options...)
	t.provider, t.shutdown = sdk, sdk.Shutdown
	return t, nil
}

// MeterProvider is what instruments are made from. It has no limit on the sets
// of attributes; the code that counts keeps them bounded.
func (t *Telemetry) MeterProvider() metric.MeterProvider { return t.provider }

// Counters holds what was counted, for [Config.Counters].
func (t *Telemetry) Counters() prometheus.TransactionalGatherer { return t.counters }

// Registry is the part of Counters with which a program may register collectors
// of its own.
func (t *Telemetry) Registry() *prometheus.Registry { return t.registry }

// Shutdown pushes a last time, if pushing, and ends the provider, within ctx.
// Harmless when repeated. Counters can still be scraped, and is then empty of
// what the provider counted.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	err := t.shutdown(ctx)
	if errors.Is(err, sdkmetric.ErrReaderShutdown) {
		return nil
	}
	return err
}

func (t *Telemetry) options(ctx context.Context, config TelemetryConfig) ([]sdkmetric.Option, error) {
	scraped, err := otelprometheus.New(otelprometheus.WithRegisterer(t.registry),
		otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, err
	}
	options := []sdkmetric.Option{
		sdkmetric.WithReader(scraped),
		sdkmetric.WithResource(describe(ctx, config)),
		sdkmetric.WithCardinalityLimit(0),
	}
	pushed, err := pushReader(ctx, config)
	if pushed != nil {
		options = append(options, sdkmetric.WithReader(pushed))
	}
	return options, err
}

// describe makes the resource. What is wrong in the environment's part of it
// is logged and left out.
func describe(ctx context.Context, config TelemetryConfig) *resource.Resource {
	pairs := make([]attribute.KeyValue, 0, len(config.ResourceAttributes)+1)
	for name, value := range config.ResourceAttributes {
		pairs = append(pairs, attribute.String(name, value))
	}
	if config.ServiceName != "" {
		pairs = append(pairs, attribute.String("service.name", config.ServiceName))
	}
	described, err := resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithAttributes(pairs...), resource.WithFromEnv())
	if err != nil { // whose text repeats the variable's
		config.Logger.Warn("a part of the telemetry resource is left out", "variable", "OTEL_RESOURCE_ATTRIBUTES", "value", "***")
	}
	return described
}

// counters are what producers count, and the rest. A Handler takes them apart.
type counters struct {
	producers []sdkmetric.Producer
	rest      prometheus.TransactionalGatherer
	own       *expositions
}

// Gather implements [prometheus.TransactionalGatherer].
func (c counters) Gather() ([]*dto.MetricFamily, func(), error) {
	e := c.own.of(nil)
	defer c.own.giveBack(e)
	return prometheus.NewMultiTRegistry(c.rest, e).Gather()
}
