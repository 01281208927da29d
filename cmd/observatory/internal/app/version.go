package app

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/observatory-go/observatory/engine/subscription"
)

// version and revision are set by the linker (`make build`). Without it they
// are the module's, and what `go build` recorded of the clone. `go run` records
// nothing of it, unless asked by -buildvcs=true.
var version, revision string

// pseudoVersion is the version of a module at a commit without a tag; it ends
// with the commit.
var pseudoVersion = regexp.MustCompile(`^v.*[-.]\d{14}-([0-9a-f]{12})(\+.*)?$`)

// BuildInfo identifies the build of this binary.
type BuildInfo struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	GoVersion string `json:"goversion"`
}

// Build returns this binary's build information; what is not known is
// "unknown".
func Build() BuildInfo {
	b := BuildInfo{Version: version, Revision: revision, GoVersion: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.complete(info)
	}
	b.Version, b.Revision = cmp.Or(b.Version, "unknown"), cmp.Or(b.Revision, "unknown")
	return b
}

// complete fills in what the linker did not set.
func (b *BuildInfo) complete(info *debug.BuildInfo) {
	b.Version = cmp.Or(b.Version, info.Main.Version)
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = cmp.Or(b.Revision, s.Value)
		}
	}
	if commit := pseudoVersion.FindStringSubmatch(info.Main.Version); commit != nil {
		b.Revision = cmp.Or(b.Revision, commit[1])
	}
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
