package domain

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/observatory-go/observatory/engine/testlog"
)

func TestExtensionsLeftOutAreCountedFromZeroAndLoggedOnceForEachReason(t *testing.T) {
	t.Parallel()
	var logged testlog.Output
	f := &fakes{}
	d, err := Open(t.Context(), parse(t, servers), f.adapters(), WithLogger(logged.Logger()))
	require.NoError(t, err)
	leftOut := f.delivered[0].LeftOut
	leftOut("early", "nested") // before there is a provider: not counted

	reader := sdkmetric.NewManualReader()
	require.NoError(t, d.Instrument(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	figure := func() metricdata.DataPoint[int64] {
		var all metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &all))
		require.Equal(t, "protean.subscription.extensions_left_out", all.ScopeMetrics[0].Metrics[0].Name)
		return all.ScopeMetrics[0].Metrics[0].Data.(metricdata.Sum[int64]).DataPoints[0]
	}
	require.Zero(t, figure().Value)
	require.Equal(t, attribute.NewSet(
		attribute.String("domain", "shop"), attribute.String("group", "Mailer"), attribute.String("handler", "Mailer"),
		attribute.String("stream", "shop::order"), attribute.String("subscription", "Mailer"),
	), figure().Attributes)

	leftOut("deep", "nested")
	leftOut("other", "nested")
	leftOut("id", "taken")
	require.EqualValues(t, 3, figure().Value)
	require.Equal(t, 1, strings.Count(logged.String(), "reason=nested"))
	require.Equal(t, 1, strings.Count(logged.String(), "reason=taken"))
}
