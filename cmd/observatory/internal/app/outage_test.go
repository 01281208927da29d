package app_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testserver"
)

// outage is a way for an application to be away for a while.
type outage struct{ begin, end func() }

func TestAnApplicationThatIsDownForAWhileUnderLoadCostsNoMessage(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(*testing.T, *application) outage{
		"it refuses connections": refusing,
		"it answers 401":         func(_ *testing.T, a *application) outage { return answeringOnly(a, http.StatusUnauthorized) },
		"it answers 502":         func(_ *testing.T, a *application) outage { return answeringOnly(a, http.StatusBadGateway) },
		"it hangs":               hanging,
	} {
		for _, concurrency := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s, concurrency %d", name, concurrency), func(t *testing.T) {
				t.Parallel()
				shop := newApplication(t, nil)
				endure(t, shop, of(t, shop), concurrency)
			})
		}
	}
}

// endure has an outage begin and end while orders come in.
func endure(t *testing.T, shop *application, o outage, concurrency int) {
	redis := testserver.StartRedis(t)
	r := start(t, app.Options{ConfigPath: shoptest.Configure(t, broker(redis.URL), fmt.Sprintf(`
[observatory.handlers.OrderMailer]
stream = %q
deliver = %q
messages_per_tick = 50
handler_timeout_seconds = 0.2
retry_delay_seconds = 0.1
concurrency = %d
`, stream, shop.URL, concurrency))})
	client := redis.Client(t)

	orders := placeMany(t, client, "before", 100)
	r.until("the first is delivered", func() bool { return shop.has(orders[0]) })
	o.begin()
	orders = append(orders, placeMany(t, client, "meanwhile", 100)...)
	r.becomes(1, "protean_subscription_target_down", "handler", "OrderMailer", "stream", stream)
	status, body := shoptest.Get(t, "http://"+r.health+"/readyz")
	require.Equal(t, http.StatusOK, status, "a restart would not help: %s", body)
	o.end()
	orders = append(orders, placeMany(t, client, "after", 100)...)

	r.until("all is delivered", func() bool { return shop.has(orders...) })
	r.until("all is settled", func() bool { return settled(t, client, "OrderMailer") })
	r.becomes(0, "protean_subscription_target_down", "handler", "OrderMailer", "stream", stream)
	require.Empty(t, deadLetters(t, client))
	routed, known := r.figure("protean_subscription_dlq_routed_total", "reason", "exhausted")
	require.True(t, known)
	require.Zero(t, routed)
}

func answeringOnly(shop *application, status int) outage {
	return outage{
		begin: func() { shop.answers(answering(status, "come back later")) },
		end:   func() { shop.answers(nil) },
	}
}

// hanging answers no request until its end, and then none of those that wait.
func hanging(t *testing.T, shop *application) outage {
	over := make(chan struct{})
	end := func() { shop.answers(nil) }
	t.Cleanup(func() { close(over) })
	return outage{
		begin: func() {
			shop.answers(func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-r.Context().Done():
				case <-over:
				}
			})
		},
		end: end,
	}
}

// refusing closes the application's port and takes it again.
func refusing(t *testing.T, shop *application) outage {
	listener := listenApart(t)
	listen := func() {
		shop.server = httptest.NewUnstartedServer(shop)
		require.NoError(t, shop.server.Listener.Close())
		shop.server.Listener = listener
		shop.server.Start()
	}
	shop.server.Close()
	listen()
	shop.URL = "http://" + listener.Addr().String() + "/events"
	t.Cleanup(func() { shop.server.Close() })
	return outage{
		begin: func() { shop.server.Close() },
		end: func() {
			var err error
			listener, err = net.Listen("tcp", listener.Addr().String())
			require.NoError(t, err)
			listen()
		},
	}
}

// listenApart takes a port that no outgoing connection is given, so that it is
// still free after it was closed.
func listenApart(t *testing.T) net.Listener {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000)))
		if err == nil {
			return listener
		}
	}
	require.FailNow(t, "no port is free")
	return nil
}
