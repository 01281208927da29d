package app

import (
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
