package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testserver"
)

// event is a CloudEvent as an application gets it.
type event struct{ id, source, typ, body string }

func TestEntriesOfAnyShapeAreDeliveredAsJSON(t *testing.T) {
	t.Parallel()
	events := make(chan event, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		events <- event{r.Header.Get("Ce-Id"), r.Header.Get("Ce-Source"), r.Header.Get("Ce-Type"), string(body)}
	}))
	t.Cleanup(server.Close)
	redisServer := testserver.StartRedis(t)
	client := redisServer.Client(t)
	r := start(t, app.Options{ConfigPath: shoptest.Configure(t, broker(redisServer.URL), fmt.Sprintf(`
[observatory]
name = "shop"
[observatory.handlers.Readings]
stream = "sensors"
format = "fields"
deliver = %q
`, server.URL))})

	for _, c := range []struct {
		fields []any
		body   string
	}{
		{[]any{"sensor", "7", "celsius", "21.5"}, `{"sensor": "7", "celsius": "21.5"}`},
		{[]any{"data", "not JSON"}, `{"data": "not JSON"}`},
		{[]any{"ä", "line\nbreak"}, "{\"\\u00e4\": \"line\\nbreak\"}"},
		{[]any{"twice", "1", "twice", "2"}, `{"twice": "2"}`},
	} {
		id, err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: "sensors", Values: c.fields}).Result()
		require.NoError(t, err)
		got := next(r, events)
		require.Equal(t, id, got.id)
		require.Equal(t, "urn:protean:shop", got.source)
		require.Equal(t, "sensors", got.typ)
		require.JSONEq(t, c.body, got.body)
	}
	require.Zero(t, client.XLen(context.Background(), "sensors:dlq").Val())
}
