package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/observatory-go/observatory/engine/listen"
	"github.com/observatory-go/observatory/gauges"
)

// metricsServer serves /metrics, and a landing page at the root.
type metricsServer struct {
	server   *http.Server
	listener net.Listener
	flags    web.FlagConfig
	log      *slog.Logger
	served   chan error
}

// listen opens the port. Connections are answered once serve is called.
func (a *App) listen() (*metricsServer, error) {
	address := a.options.ListenAddress
	if address == "" {
		address = a.config.Observatory.ListenAddress
	}
	listener, err := listen.TCP(address)
	if err != nil {
		return nil, fmt.Errorf("metrics cannot be served on %s: %w; set another address with --web.listen-address, or listen_address in [observatory]", address, err)
	}
	mux, err := a.mux()
	if err == nil {
		err = validateWeb(a.options.WebConfigFile)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("metrics: %w", err), listener.Close())
	}
	log := a.log.With("component", "web")
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second, // a scrape has no body
		WriteTimeout:      30 * time.Second, // gauges.Handler takes longer where the scraper says so
		IdleTimeout:       2 * time.Minute,  // longer than Prometheus waits between two scrapes
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	listener.Protect(server)
	return &metricsServer{
		server:   server,
		listener: listener,
		flags:    web.FlagConfig{WebConfigFile: &a.options.WebConfigFile},
		log:      log,
		served:   make(chan error, 1),
	}, nil
}

// yamlLine is where a file is no YAML, or not what it should be.
var yamlLine = regexp.MustCompile(`line [0-9]+`)

// validateWeb says what is wrong with a web configuration. What stands in it is not
// repeated: it may be a password.
func validateWeb(path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("--web.config.file %s is no regular file", path)
	}
	err := web.Validate(path)
	if err == nil {
		return nil
	}
	text := err.Error()
	if strings.HasPrefix(text, "yaml: ") {
		where := cmp.Or(strings.Join(yamlLine.FindAllString(text, -1), ", "), "it")
		return fmt.Errorf("--web.config.file %s: %s is not as in the Prometheus exporters' format", path, where)
	}
	for _, what := range []string{"unknown cipher", "unknown curve", "unknown TLS version", "invalid ClientAuth"} {
		if strings.HasPrefix(text, what+": ") {
			return fmt.Errorf("--web.config.file %s: %s: ***", path, what)
		}
	}
	return fmt.Errorf("--web.config.file %s: %w", path, err)
}

// serve starts answering, until close.
func (s *metricsServer) serve() {
	go func() { s.served <- web.Serve(s.listener, s.server, &s.flags, s.log) }()
}

// watch fails if serving ends by itself before ctx does.
func (s *metricsServer) watch(ctx context.Context) error {
	select {
	case err := <-s.served:
		s.served <- err
		return fmt.Errorf("serving ended: %w", err)
	case <-ctx.Done():
		return nil
	}
}

// close waits for the scrapes under way, for two seconds at most.
func (s *metricsServer) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lastScrapesTimeout)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		_ = s.server.Close() // cuts off the scrapes that are still under way
	}
	if err := <-s.served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func (a *App) mux() (http.Handler, error) {
	path := a.telemetryPath()
	mux := http.NewServeMux()
	mux.Handle(path, gauges.Handler(gauges.Config{
		Snapshots: a.snapshots, Counters: a.telemetry.Counters(), Logger: a.log,
	}))
	if path == "/" {
		return mux, nil
	}
	landing, err := web.NewLandingPage(web.LandingConfig{
		Name: "Observatory", Description: "Domain " + a.domain.Name(), Version: Build().Version,
		Profiling: "false", // there are no such pages here
		Links:     []web.LandingLinks{{Address: path, Text: "Metrics"}},
	})
	if err != nil {
		return nil, fmt.Errorf("landing page: %w", err)
	}
	mux.Handle("/{$}", landing)
	return mux, nil
}

func (a *App) telemetryPath() string {
	if a.options.TelemetryPath == "" {
		return "/metrics"
	}
	return "/" + strings.TrimPrefix(a.options.TelemetryPath, "/")
}

// url is where the metrics are on an address.
func (a *App) url(address string) string {
	scheme := "http"
	if a.servesTLS() {
		scheme = "https"
	}
	return scheme + "://" + address + a.telemetryPath()
}

// servesTLS says whether the web configuration has a TLS section.
func (a *App) servesTLS() bool {
	text, err := os.ReadFile(a.options.WebConfigFile)
	return err == nil && bytes.Contains(text, []byte("tls_server_config"))
}

// exposure says of an address that means every interface that it does.
func exposure(address string) string {
	if local(address) != address {
		return " (on every interface)"
	}
	return ""
}

// local replaces an address that means every interface by one to connect to.
func local(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
