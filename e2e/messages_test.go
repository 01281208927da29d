package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// application takes every event but those of one order, at which it breaks.
func application(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || strings.Contains(string(body), "poison") {
			http.Error(w, "no such customer", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/events"
}

// place adds the event of an order to the stream, as any program may.
func place(t *testing.T, broker *redis.Client, order string) {
	t.Helper()
	own := stream + "-" + order
	event, err := json.Marshal(map[string]any{
		"data": map[string]any{"order_id": order},
		"metadata": map[string]any{
			"headers": map[string]any{
				"id": own + "-0.1", "time": time.Now().UTC().Format(time.RFC3339Nano), "type": "Shop.OrderPlaced.v1", "stream": own,
				"traceparent": nil, "idempotency_key": nil, "deadline": nil,
			},
			"envelope": nil,
			"domain": map[string]any{
				"fqn": "shop.OrderPlaced", "kind": "EVENT", "origin_stream": nil, "stream_category": stream, "version": 1,
				"sequence_id": "0.1", "asynchronous": true, "expected_version": nil, "priority": 0,
				"correlation_id": nil, "causation_id": nil,
			},
			"event_store": nil,
			"extensions":  map[string]any{},
		},
	})
	require.NoError(t, err)
	require.NoError(t, broker.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []any{"data", event}}).Err())
}

func placeMany(t *testing.T, broker *redis.Client, n int, prefix string) {
	t.Helper()
	for i := range n {
		place(t, broker, fmt.Sprintf("%s-%d", prefix, i))
	}
}
