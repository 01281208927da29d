package gauges

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// pushReader returns the periodic reader of the OTLP export, nil if nothing is
// pushed.
func pushReader(ctx context.Context, config TelemetryConfig) (sdkmetric.Reader, error) {
	if !config.Push || pushDisabled() {
		return nil, nil
	}
	if protocol := pushProtocol(); protocol != "grpc" {
		config.Logger.Warn("metrics are pushed by grpc, whatever OTEL_EXPORTER_OTLP_PROTOCOL says", "protocol", protocol)
	}
	warnEnvironment(config.Logger)
	endpoint, err := endpointOptions(config.Endpoint)
	if err != nil {
		return nil, err
	}
	exporter, err := otlpmetricgrpc.New(ctx, endpoint...)
	if err != nil {
		return nil, fmt.Errorf("OTLP exporter: %w", err)
	}
	var options []sdkmetric.PeriodicReaderOption
	for _, p := range config.Producers {
		options = append(options, sdkmetric.WithProducer(p))
	}
	if config.Snapshots != nil {
		options = append(options, sdkmetric.WithProducer(NewProducer(config.Snapshots, config.Logger)))
	}
	return sdkmetric.NewPeriodicReader(&exportLog{Exporter: exporter, logger: config.Logger}, options...), nil
}

func pushDisabled() bool {
	return strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") ||
		os.Getenv("OTEL_METRICS_EXPORTER") == "none"
}

func pushProtocol() string {
	return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"),
		os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "grpc")
}

// endpointOptions translates the configured endpoint. The error repeats no part
// of it, since it may hold a password.
func endpointOptions(endpoint string) ([]otlpmetricgrpc.Option, error) {
	if endpoint == "" {
		return nil, nil
	}
	if !strings.Contains(endpoint, "://") {
		return []otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpoint(endpoint)}, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the OTLP endpoint is not an address: expected http://host:port, https://host:port or host:port")
	}
	return []otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpointURL(endpoint)}, nil
}

// exportLog logs when exporting starts to fail and when it recovers, in place
// of the SDK's global handler, which has a line for every failure.
type exportLog struct {
	sdkmetric.Exporter
	logger  *slog.Logger
	failing atomic.Bool
}

func (e *exportLog) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	err := e.Exporter.Export(ctx, rm)
	switch failed := err != nil; {
	case e.failing.Swap(failed) == failed:
	case failed:
		e.logger.Warn("metrics could not be pushed", "error", err)
	default:
		e.logger.Info("metrics are pushed again")
	}
	return nil
}
