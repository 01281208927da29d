// Package shoptest is the shop that the tests of the binary run: a configuration
// file, orders on a stream of a real Redis, and requests to what is served.
package shoptest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/message"
)

// Stream is the stream of the orders. Each test has a Redis of its own.
const Stream = "shop::order"

// Configure writes a configuration file of these lines or parts, in a folder of
// its own.
func Configure(t testing.TB, parts ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "domain.toml")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(parts, "\n")), 0o600))
	return path
}

// Place adds the event of an order to the stream.
func Place(t testing.TB, client *redis.Client, order string) (entry string) {
	t.Helper()
	own := Stream + "-" + order
	data, err := json.Marshal(map[string]string{"order_id": order})
	require.NoError(t, err)
	e, err := message.New(message.KindEvent, message.Headers{
		ID: own + "-0.1", Type: "Shop.OrderPlaced.v1", Stream: own, Time: time.Now(),
	}, data)
	require.NoError(t, err)
	text, err := e.Encode()
	require.NoError(t, err)
	entry, err = client.XAdd(t.Context(), &redis.XAddArgs{Stream: Stream, Values: []any{message.DataField, text}}).Result()
	require.NoError(t, err)
	return entry
}

// Get makes one request, on a connection that it closes. The status is 0 where
// there is no answer.
func Get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}
