package app

import (
	"context"
	"net"
	"strconv"
	"testing"
)

// SampleAddresses are where the sample serves metrics and probes by default.
func SampleAddresses(t *testing.T) (metrics, health string) {
	t.Helper()
	c, err := LoadConfiguration(Options{Embedded: true})
	if err != nil {
		t.Fatal(err)
	}
	return c.Observatory.ListenAddress, net.JoinHostPort(c.Health.Host, strconv.Itoa(c.Health.Port))
}

// CloseTimeout bounds all that is closed after the engine has stopped.
const CloseTimeout = closeTimeout

// OnClose has the app close one thing more, before all others.
func (a *App) OnClose(close func(context.Context) error) { a.closers.Add("test", close) }
