package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/observatory-go/observatory/engine/listen"
)

// closeTimeout is how long answers under way are waited for: longer than any
// takes.
const closeTimeout = 3 * time.Second

// writeTimeout is how long a client may take to read an answer that needs no waiting.
const writeTimeout = 10 * time.Second

// Server answers probes on a port of its own.
type Server struct {
	http    *http.Server
	handler *Handler
	address net.Addr
	// served is closed once the listener has ended.
	served chan struct{}
}

// Start listens on a TCP address such as "0.0.0.0:8080" and answers probes
// until Close, which also closes the handler. Idle connections, and descriptors
// that other parts of the process use up, do not keep it from answering: see
// [listen.Listener]. An address that cannot be taken
// is an error that says what changes it; the handler is then still the
// caller's. A nil logger is slog.Default().
func Start(address string, h *Handler, logger *slog.Logger) (*Server, error) {
	if logger == nil {
		logger = slog.Default()
	}
	listener, err := listen.TCP(address)
	if err != nil {
		return nil, fmt.Errorf("health probes cannot be served on %s: %w; "+
			"set another `port` (or `host`) in [server.health], or `enabled = false`", address, err)
	}
	logger = logger.With("component", "health")
	s := &Server{
		http:    newHTTPServer(h, listener, logger),
		handler: h,
		address: listener.Addr(),
		served:  make(chan struct{}),
	}
	go s.serve(listener, logger)
	return s, nil
}

// newHTTPServer bounds what a client may send and how long it may take.
func newHTTPServer(h http.Handler, listener *listen.Listener, logger *slog.Logger) *http.Server {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      writeTimeout,
		MaxHeaderBytes:    4096,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false)
	listener.Protect(server)
	return server
}

func (s *Server) serve(listener net.Listener, logger *slog.Logger) {
	defer close(s.served)
	if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		logger.Error("health probes are no longer answered", "error", err)
	}
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.address }

// Close stops listening, waits for the answers under way and for the checks,
// and cuts what has not ended within a few seconds. Its error names the checks
// that do not end. It is harmless when repeated.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close() // a prober that is still connected gets no answer
	}
	<-s.served
	return s.handler.Close()
}
