package app

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/observatory-go/observatory/engine/subscription"
)

// version is set by the linker (`make build`); a plain `go build` has the
// module's version.
var version = ""

// BuildInfo identifies the build of this binary.
type BuildInfo struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	GoVersion string `json:"goversion"`
}

// Build returns this binary's build information; what is not known is
// "unknown".
func Build() BuildInfo {
	b := BuildInfo{Version: version, Revision: "unknown", GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if ok && b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "unknown"
	}
	if ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}

// exposeBuild exports protean_build_info.
func exposeBuild(p metric.MeterProvider) error {
	g, err := p.Meter(subscription.Scope).Int64Gauge("protean.build_info",
		metric.WithDescription("1; its labels identify the build of this process."))
	if err != nil {
		return fmt.Errorf("protean.build_info: %w", err)
	}
	b := Build()
	g.Record(context.Background(), 1, metric.WithAttributes(
		attribute.String("version", b.Version),
		attribute.String("revision", b.Revision),
		attribute.String("goversion", b.GoVersion)))
	return nil
}
