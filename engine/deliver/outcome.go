package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/observatory-go/observatory/engine/handler"
)

// outcomeOfError is the outcome of a request that got no answer. failed says that
// this is the message's own: its time ran out while the target answered others. A
// connection that was cut never is: the target is taken as down, which costs the
// message nothing until others are answered in its place.
func (t *HTTP) outcomeOfError(ctx context.Context, err error, failed bool) error {
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) { // another cause is the caller's time-out
		return fmt.Errorf("deliver to %s: %w", t.name, cause)
	}
	err = fmt.Errorf("deliver to %s: %w", t.name, t.explain(err))
	if failed {
		return err
	}
	return handler.Unavailable(err)
}

// explain strips what net/http puts around an error, the URL above all.
func (t *HTTP) explain(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("connection closed before an answer: %w", err)
	}
	return err
}

// outcomeOfStatus is the outcome that a target's answer means for the message.
func (t *HTTP) outcomeOfStatus(resp *http.Response, answer string) error {
	err := fmt.Errorf("%s answered %s: %s", t.name, status(resp), answer)
	if answer == "" {
		err = fmt.Errorf("%s answered %s", t.name, status(resp))
	}
	switch code := resp.StatusCode; code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return handler.RetryAfter(retryAfter(resp.Header, time.Now()))
	case http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return handler.Reject(err)
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return handler.Unavailable(err)
	default:
		if code/100 == 2 {
			return nil
		}
		return err
	}
}

// status is the code and the standard's text for it: a server may send any text.
func status(resp *http.Response) string {
	text := http.StatusText(resp.StatusCode)
	if resp.StatusCode/100 == 3 {
		text += " (redirects are not followed)"
	}
	return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", text))
}
