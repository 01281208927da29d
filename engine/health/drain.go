package health

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Drainer is what /drainz acts on.
type Drainer interface {
	// Drain stops the program from taking new work, or lets it go on. It returns at
	// once, and is harmless when repeated.
	Drain(on bool)
	// Draining reports whether it is stopped so.
	Draining() bool
	// InFlight is how many calls of handlers are under way.
	InFlight() int
}

const (
	// longestWait bounds ?wait= of /drainz.
	longestWait = time.Hour
	// waitStep is how often what is in flight is counted meanwhile.
	waitStep = 20 * time.Millisecond
)

// drain answers /drainz: POST stops the program from taking new work and says how
// much is in flight, at once, or with ?wait=30s when nothing is; DELETE undoes it. A
// wait that ends before is answered with 503.
func (h *Handler) drain(w http.ResponseWriter, r *http.Request) (status int, body string) {
	if h.config.Drainer == nil {
		return http.StatusNotFound, `{"error": "Not Found"}`
	}
	if r.Method != http.MethodPost && r.Method != http.MethodDelete {
		return http.StatusMethodNotAllowed, `{"error": "Method Not Allowed"}`
	}
	if err := h.mayDrain(r); err != nil {
		return http.StatusForbidden, object([]string{member("error", quote(err.Error()))})
	}
	if r.Method == http.MethodDelete {
		h.config.Drainer.Drain(false)
		return http.StatusOK, object([]string{member("status", quote("ok")), member("pid", strconv.Itoa(os.Getpid()))})
	}
	wait, err := waitOf(r)
	if err != nil {
		return http.StatusBadRequest, object([]string{member("error", quote(err.Error()))})
	}
	h.config.Drainer.Drain(true)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + writeTimeout))
	inFlight := h.waitForCalls(r.Context(), wait)
	status = http.StatusOK
	if wait > 0 && inFlight > 0 {
		status = http.StatusServiceUnavailable
	}
	return status, object([]string{
		member("status", quote("draining")), member("pid", strconv.Itoa(os.Getpid())), member("in_flight", strconv.Itoa(inFlight)),
	})
}

// mayDrain says why a request may not drain: it comes from another machine without
// the operator's token, or from a page of another site in a browser of this one.
func (h *Handler) mayDrain(r *http.Request) error {
	if err := new(http.CrossOriginProtection).Check(r); err != nil {
		return err
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if h.config.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(h.config.Token)) == 1 {
		return nil
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil && net.ParseIP(host).IsLoopback() {
		return nil
	}
	return fmt.Errorf("draining is allowed from this machine, or with `Authorization: Bearer` and the token of [observatory]")
}

// waitOf is the time that a request waits, as in ?wait=30s.
func waitOf(r *http.Request) (time.Duration, error) {
	query := r.URL.Query()
	text := query.Get("wait")
	delete(query, "wait")
	for name := range query {
		return 0, fmt.Errorf("unknown parameter %q; there is `wait`, as in ?wait=30s", name)
	}
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > longestWait {
		return 0, fmt.Errorf("wait %q: expected a duration of at most an hour, as in ?wait=30s", text)
	}
	return wait, nil
}

// waitForCalls waits until no call is under way and returns how many are then. One
// that was about to begin when draining did is seen a step later.
func (h *Handler) waitForCalls(ctx context.Context, wait time.Duration) (calls int) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	step := time.NewTicker(waitStep)
	defer step.Stop()
	for {
		select {
		case <-ctx.Done():
			return h.config.Drainer.InFlight()
		case <-step.C:
			if calls = h.config.Drainer.InFlight(); calls == 0 {
				return 0
			}
		}
	}
}
