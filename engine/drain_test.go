package engine_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/testserver"
)

// A preStop hook drains the engine beside an application: what is under way ends,
// nothing else is handed over, and the process lives on.
func TestADrainedEngineEndsWhatIsUnderWayAndTakesNothingElse(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 4} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			t.Parallel()
			stream := testserver.Name(t)
			r := newRig(t, testserver.Redis(t).URL)
			for i := range 40 {
				r.add(stream, "data", event(fmt.Sprintf("e-%d", i)))
			}
			begun, release := make(chan struct{}, 40), make(chan struct{})
			s := r.subscribe(stream, "shop.Mailer", func(context.Context, *message.Envelope) error {
				begun <- struct{}{}
				<-release
				return nil
			})
			s.Concurrency = workers
			s.Order = subscription.OrderNone
			listening := make(chan net.Addr, 1)
			e := r.run(engine.HealthConfig{Address: "127.0.0.1:0", Listening: func(a net.Addr) { listening <- a }}, s)
			address := (<-listening).String()
			ask := func(method, path string) (int, string) {
				request, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, nil)
				require.NoError(t, err)
				answer, err := http.DefaultClient.Do(request)
				require.NoError(t, err)
				defer answer.Body.Close()
				body, err := io.ReadAll(answer.Body)
				require.NoError(t, err)
				return answer.StatusCode, string(body)
			}
			for range workers {
				<-begun
			}
			status, body := ask(http.MethodPost, "/drainz")
			require.Equal(t, 200, status)
			require.Contains(t, body, fmt.Sprintf(`"in_flight": %d`, workers))
			status, body = ask(http.MethodGet, "/readyz")
			require.Equal(t, 503, status)
			require.Contains(t, body, `"draining": true`)
			require.True(t, e.Draining())

			close(release)
			status, body = ask(http.MethodPost, "/drainz?wait=30s")
			require.Equal(t, 200, status, body)
			require.Contains(t, body, `"in_flight": 0`)
			require.Len(t, r.calls(), workers, "nothing else was called")
			r.until("what was read ahead is given back", func() bool {
				consumers, err := r.client.XInfoConsumers(t.Context(), stream, "shop.Mailer").Result()
				require.NoError(t, err)
				return len(consumers) == 1 && consumers[0].Name == "released"
			})
			require.Empty(t, begun)
			status, _ = ask(http.MethodGet, "/livez")
			require.Equal(t, 200, status)

			status, _ = ask(http.MethodDelete, "/drainz")
			require.Equal(t, 200, status)
			r.until("the rest is handled", func() bool { return len(r.calls()) == 40 })
			r.until("and acknowledged", func() bool { return r.settled(stream, "shop.Mailer") })
		})
	}
}
