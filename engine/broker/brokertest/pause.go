package brokertest

import (
	"testing"

	"github.com/observatory-go/observatory/engine/subscription/pausetest"
)

// A broker that keeps which subscriptions are paused is also tried as one that does.
var pauseTests = []test{
	{"which subscriptions are paused is kept", 0, func(t *testing.T, f *fixture) {
		if keeper, ok := f.Broker.(pausetest.Keeper); ok {
			pausetest.Run(t, keeper, f.stream)
		}
	}},
}
