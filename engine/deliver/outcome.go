package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/observatory-go/observatory/engine/handler"
)

// outcomeOfFailure is the error of a request that got no answer, with an outcome:
// a failure where this is the message's own, because its time ran out while the
// target answered others; Interrupted where the target had the request; Unreachable
// where there was no connection; else Unavailable.
func (t *HTTP) outcomeOfFailure(ctx context.Context, f *noAnswer, othersAnswered bool) error {
	if errors.Is(ctx.Err(), context.Canceled) { // else the caller's time is over
		return fmt.Errorf("deliver to %s: %w", t.name, context.Cause(ctx))
	}
	err := fmt.Errorf("deliver to %s: %w", t.name, explain(f.err))
	switch {
	case f.timedOut && f.connected && othersAnswered:
		return err
	case !f.timedOut && f.wroteAll:
		return handler.Interrupted(err)
	case !f.connected:
		return handler.Unreachable(err)
	default:
		return handler.Unavailable(err)
	}
}

// explain says what an error of net/http means.
func explain(err error) error {
	if not, ok := errors.AsType[tls.RecordHeaderError](err); ok && string(not.RecordHeader[:]) == "HTTP/" {
		return http.ErrSchemeMismatch
	}
	switch {
	case isOutOfFiles(err):
		return outOfFiles(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("connection closed before an answer: %w", err)
	}
	return err
}

// isOutOfFiles reports that this process could not open a file or a socket. A
// look-up that cannot finds no such host.
func isOutOfFiles(err error) bool {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		var f *os.File
		if f, err = os.Open(os.DevNull); err == nil {
			err = f.Close()
		}
	}
	return errors.Is(err, syscall.EMFILE)
}

func outOfFiles(err error) error {
	return fmt.Errorf("this process is out of file descriptors, not the target: raise %s open files "+
		"(ulimit -n, LimitNOFILE of systemd), or lower concurrency: %w", filesLimit(), err)
}

// outcomeOfAnswer is the outcome that a target's answer, other than 2xx, means for
// the message.
func (t *HTTP) outcomeOfAnswer(a answer) error {
	err := fmt.Errorf("%s answered %s: %s", t.name, statusText(a.status), a.text)
	if a.text == "" {
		err = fmt.Errorf("%s answered %s", t.name, statusText(a.status))
	}
	switch a.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return handler.RetryAfter(retryAfter(a.header, time.Now()))
	case http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return handler.Reject(err)
	}
	if isDown(a.status) {
		return handler.Unavailable(err)
	}
	return err
}

// isDown reports whether a status says that the application is down.
func isDown(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// statusText is the code and the standard's text for it: a server may send any
// text.
func statusText(code int) string {
	text := http.StatusText(code)
	if code/100 == 3 {
		text += " (redirects are not followed)"
	}
	return strings.TrimSpace(fmt.Sprint(code, " ", text))
}
