package deliver

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/observatory-go/observatory/engine/handler"
)

// minRetryAfter prevents a busy loop where a target asks for no wait.
const minRetryAfter = time.Second

// retryAfter reads how long a target asks to wait. A date is taken relative to
// the answer's own Date, so that clocks may differ.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return between(time.Duration(seconds) * time.Second)
	}
	if value != "" && strings.Trim(value, "0123456789") == "" {
		return handler.MaxRetryAfter // more seconds than fit
	}
	if until, err := http.ParseTime(value); err == nil {
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date
		}
		return between(until.Sub(now))
	}
	return minRetryAfter
}

func between(d time.Duration) time.Duration {
	return min(max(d, minRetryAfter), handler.MaxRetryAfter)
}
