package deliver

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
)

func TestRetryAfterIsHonouredWithinBounds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 10, 30, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              time.Second,
		"7":                             7 * time.Second,
		" 7 ":                           7 * time.Second,
		"0":                             time.Second,
		"-5":                            time.Second,
		"1.5":                           time.Second,
		"soon":                          time.Second,
		"3600":                          time.Hour,
		"86400":                         time.Hour,
		"99999999999999999999999":       time.Hour,
		"Mon, 02 Mar 2026 10:32:00 GMT": 2 * time.Minute,
		"Mon, 02 Mar 2026 10:00:00 GMT": time.Second,
		"Tue, 03 Mar 2026 10:00:00 GMT": time.Hour,
	} {
		require.Equal(t, want, retryAfter(http.Header{"Retry-After": {value}}, now), value)
	}
	skewed := http.Header{"Date": {"Mon, 02 Mar 2026 11:30:00 GMT"}, "Retry-After": {"Mon, 02 Mar 2026 11:30:10 GMT"}}
	require.Equal(t, 10*time.Second, retryAfter(skewed, now), "the target's clock is an hour ahead")
}

func TestTheApplicationsWaitIsPassedOn(t *testing.T) {
	t.Parallel()
	srv := answering(t, http.StatusTooManyRequests, "", "Retry-After", "42")
	v, after := handler.OutcomeOf(to(t, srv.URL).Handle(t.Context(), order()))
	require.Equal(t, handler.Postponed, v)
	require.Equal(t, 42*time.Second, after)
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("Mon, 02 Mar 2026 10:32:00 GMT", "Mon, 02 Mar 2026 10:00:00 GMT")
	f.Fuzz(func(t *testing.T, value, date string) {
		d := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, time.Now())
		require.GreaterOrEqual(t, d, minRetryAfter)
		require.LessOrEqual(t, d, handler.MaxRetryAfter)
	})
}
