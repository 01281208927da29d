package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/message"
)

// stream is where the orders of a test are; every test has a Redis of its own.
const stream = "shop::order"

// place adds the event of an order to the stream, as any program may.
func place(t *testing.T, client *redis.Client, order string) (entry string) {
	t.Helper()
	own := stream + "-" + order
	e, err := message.New(message.KindEvent, message.Headers{
		ID: own + "-0.1", Type: "Shop.OrderPlaced.v1", Stream: own, Time: time.Now(),
	}, []byte(fmt.Sprintf(`{"order_id": %q}`, order)))
	require.NoError(t, err)
	text, err := e.Encode()
	require.NoError(t, err)
	entry, err = client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []any{message.DataField, text}}).Result()
	require.NoError(t, err)
	return entry
}

// placeMany adds the orders <prefix>-0 and so on.
func placeMany(t *testing.T, client *redis.Client, prefix string, n int) (orders []string) {
	t.Helper()
	for i := range n {
		orders = append(orders, fmt.Sprintf("%s-%d", prefix, i))
		place(t, client, orders[i])
	}
	return orders
}

// deadLetter is a letter as an operator reads it.
type deadLetter struct {
	Data struct {
		OrderID string `json:"order_id"`
	} `json:"data"`
	DLQ struct {
		FailureReason string `json:"failure_reason"`
		RetryCount    int    `json:"retry_count"`
		OriginalID    string `json:"original_id"`
	} `json:"_dlq_metadata"`
}

func deadLetters(t *testing.T, client *redis.Client) (letters []deadLetter) {
	t.Helper()
	entries, err := client.XRange(context.Background(), stream+":dlq", "-", "+").Result()
	require.NoError(t, err)
	for _, entry := range entries {
		var l deadLetter
		require.NoError(t, json.Unmarshal([]byte(entry.Values["data"].(string)), &l), "%v", entry)
		letters = append(letters, l)
	}
	return letters
}

// settled says that the group has got all of the stream and owes nothing.
func settled(t *testing.T, client *redis.Client, group string) bool {
	t.Helper()
	info, err := client.XInfoStream(context.Background(), stream).Result()
	require.NoError(t, err)
	groups, err := client.XInfoGroups(context.Background(), stream).Result()
	require.NoError(t, err)
	for _, g := range groups {
		if g.Name == group {
			return g.Pending == 0 && g.LastDeliveredID == info.LastGeneratedID
		}
	}
	return false
}

// application is what orders are delivered to: it answers as its answer says,
// and remembers.
type application struct {
	URL    string
	server *httptest.Server

	mu       sync.Mutex
	answer   http.HandlerFunc // nil: 204
	asked    map[string]int   // how often each order came
	accepted map[string]bool  // which orders were answered with 2xx
}

type orderKey struct{}

// orderOf is the order that a request is about.
func orderOf(r *http.Request) string { return r.Context().Value(orderKey{}).(string) }

func newApplication(t *testing.T, answer http.HandlerFunc) *application {
	t.Helper()
	a := &application{answer: answer, asked: map[string]int{}, accepted: map[string]bool{}}
	a.server = httptest.NewServer(a)
	a.URL = a.server.URL + "/events"
	t.Cleanup(a.server.Close)
	return a
}

// answers changes how it answers from now on; nil is 204.
func (a *application) answers(answer http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

// ServeHTTP takes one delivery.
func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var event struct {
		OrderID string `json:"order_id"`
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := a.ask(event.OrderID)
	if answer == nil {
		a.accept(event.OrderID)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, r.WithContext(context.WithValue(r.Context(), orderKey{}, event.OrderID)))
}

func (a *application) ask(order string) http.HandlerFunc {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[order]++
	return a.answer
}

func (a *application) accept(order string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.accepted[order] = true
}

// calls is how often an order came.
func (a *application) calls(order string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[order]
}

// has says whether each of the orders was answered with 2xx.
func (a *application) has(orders ...string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range orders {
		if !a.accepted[o] {
			return false
		}
	}
	return true
}

// unless answers one order as told, and takes all others.
func (a *application) unless(order string, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if orderOf(r) == order {
			answer(w, r)
			return
		}
		a.accept(orderOf(r))
		w.WriteHeader(http.StatusNoContent)
	}
}

// answering is one answer for all.
func answering(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, status) }
}
