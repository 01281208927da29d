package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// The proxy logs each connection that a fault ends.
func init() { zerolog.SetGlobalLevel(zerolog.Disabled) }

// link is the network between a replica and Redis.
type link struct {
	addr  string
	proxy *toxiproxy.Proxy
	names []string
}

// newLink listens on a free port and passes everything on. The caller closes it.
func newLink(upstream string) (*link, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &link{addr: addr, proxy: toxiproxy.NewProxy(server, addr, addr, upstream)}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	return l, nil
}

// cut loses all bytes in both directions, and closes nothing, until mend.
func (l *link) cut() error {
	return errors.Join(
		l.add("timeout", "upstream", map[string]int{"timeout": 0}),
		l.add("timeout", "downstream", map[string]int{"timeout": 0}))
}

// slow delays all replies, and lets so many kilobytes of them pass in a second on
// each connection, until mend.
func (l *link) slow(milliseconds, jitter, kilobytes int) error {
	return errors.Join(
		l.add("latency", "downstream", map[string]int{"latency": milliseconds, "jitter": jitter}),
		l.add("bandwidth", "downstream", map[string]int{"rate": kilobytes}))
}

func (l *link) add(kind, direction string, attributes map[string]int) error {
	text, err := json.Marshal(map[string]any{"type": kind, "stream": direction, "attributes": attributes})
	if err != nil {
		return err
	}
	toxic, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text)))
	if err != nil {
		return fmt.Errorf("network: %s: %w", kind, err)
	}
	l.names = append(l.names, toxic.Name)
	return nil
}

// mend ends what was done. Connections that lost bytes are closed.
func (l *link) mend(ctx context.Context) error {
	var errs []error
	for _, name := range l.names {
		errs = append(errs, l.proxy.Toxics.RemoveToxic(ctx, name))
	}
	l.names = nil
	return errors.Join(errs...)
}

func (l *link) close() { l.proxy.Stop() }
