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

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
)

const stream = shoptest.Stream

// placeMany adds the orders <prefix>-0 and so on.
func placeMany(t *testing.T, client *redis.Client, prefix string, n int) (orders []string) {
	t.Helper()
	for i := range n {
		orders = append(orders, fmt.Sprintf("%s-%d", prefix, i))
		shoptest.Place(t, client, orders[i])
	}
	return orders
}

// deadLetter is the part of a dead letter that tests read.
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

func deadLetters(t *testing.T, client *redis.Client) (dead []deadLetter) {
	t.Helper()
	entries, err := client.XRange(context.Background(), stream+":dlq", "-", "+").Result()
	require.NoError(t, err)
	for _, entry := range entries {
		var l deadLetter
		require.NoError(t, json.Unmarshal([]byte(entry.Values["data"].(string)), &l), "%v", entry)
		dead = append(dead, l)
	}
	return dead
}

// settled reports whether the group was given all of the stream and nothing of it
// is pending.
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

// application is the target of deliveries: it answers as configured, and records
// what came.
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
	answer := a.record(event.OrderID)
	if answer == nil {
		a.accept(event.OrderID)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, r.WithContext(context.WithValue(r.Context(), orderKey{}, event.OrderID)))
}

func (a *application) record(order string) http.HandlerFunc {
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

// has reports whether each of the orders was answered with 2xx.
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

// unless answers one order with answer, and accepts all others.
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
