package interop

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

// The stream and the group of shop/domain.py.
const (
	stream = "shop::order"
	group  = "domain.OrderMailer"
)

// shop is the project of that folder, over a Redis of its own.
type shop struct {
	*project
	redis *redis.Client
}

// openShop takes further variables for the file, beside the addresses.
func openShop(t *testing.T, variables ...string) *shop {
	t.Helper()
	server := testserver.StartRedis(t)
	return &shop{
		project: open(t, "shop", "order_id", append(variables, "SHOP_REDIS="+server.URL)...),
		redis:   server.Client(t),
	}
}

// startPython runs Protean's engine, whose calls take so long each, until it has
// joined the group.
func (s *shop) startPython(seconds float64) *engine {
	s.t.Helper()
	e := s.project.startPython(fmt.Sprint("SHOP_SECONDS=", seconds))
	s.eventually("Protean's engine has joined the group", func() bool {
		e.runs()
		groups, err := s.redis.XInfoGroups(s.t.Context(), stream).Result()
		return err == nil && len(groups) == 1 && groups[0].Name == group
	})
	return e
}

// publish adds the events of orders to the stream, by Protean.
func (s *shop) publish(orders ...string) {
	s.t.Helper()
	s.run(s.python(append([]string{"publish.py"}, orders...)...))
}

// pending is how many entries of the group nothing has acknowledged, of all
// consumers.
func (s *shop) pending() int64 {
	summary, err := s.redis.XPending(s.t.Context(), stream, group).Result()
	require.NoError(s.t, err)
	return summary.Count
}

// kept are the orders that the stream has.
func (s *shop) kept() []string {
	entries, err := s.redis.XRange(s.t.Context(), stream, "-", "+").Result()
	require.NoError(s.t, err)
	orders := make([]string, len(entries))
	for i, entry := range entries {
		var event struct {
			Data map[string]string
		}
		require.NoError(s.t, json.Unmarshal([]byte(entry.Values["data"].(string)), &event))
		orders[i] = event.Data["order_id"]
	}
	return orders
}

// allHandled waits until each of the orders was handled by one of the engines and
// nothing is pending, and asserts that none was handled twice.
func (s *shop) allHandled(want []string) {
	s.t.Helper()
	handled := func() []string { return append(s.byPython(), s.byOurs()...) }
	s.eventually(fmt.Sprintf("%d orders are handled and acknowledged", len(want)), func() bool {
		return len(handled()) >= len(want) && s.pending() == 0
	})
	assert.ElementsMatch(s.t, want, handled())
}
