package adapters_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/adapters"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/database/postgres"
	"github.com/observatory-go/observatory/engine/domain"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

const file = `
[server]
default_subscription_type = "stream"
[brokers.default]
provider = "redis"
URI = "%s"
max_connections = 4
[brokers.local]
provider = "inline"
[databases.default]
provider = "postgresql"
database_uri = "%s"
pool_size = 5
[databases.legacy]
provider = "mssql"
database_uri = "mssql+pyodbc://sa@127.0.0.1:1433/shop"
`

func open(t *testing.T, broker, database string) *domain.Domain {
	c, err := config.Parse("domain.toml", fmt.Appendf(nil, file, broker, database))
	require.NoError(t, err)
	quiet := domain.WithLogger(slog.New(slog.DiscardHandler))
	d, err := domain.Open(t.Context(), c, adapters.All(), quiet)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	return d
}

func ignore(context.Context, *message.Envelope) error { return nil }

func TestTheServersOfAFileAreOpenedAndLookedAt(t *testing.T) {
	t.Parallel()
	d := open(t, testserver.Redis(t).URL, testserver.Postgres(t).URL)
	require.IsType(t, &redisbroker.Broker{}, d.Broker("default"))
	require.IsType(t, &memorybroker.Broker{}, d.Broker("local"))
	require.IsType(t, &postgres.Database{}, d.Database("default"))
	require.Nil(t, d.Database("legacy"))

	stream := testserver.Name(t) + "::order"
	require.NoError(t, d.Register(handler.Events("shop.Orders", stream, handler.Any(ignore))))
	c, err := d.Config()
	require.NoError(t, err)
	require.NoError(t, c.Health.Checks.Brokers["default"].Ping(t.Context()))
	require.NoError(t, c.Health.Checks.Providers["default"].Ping(t.Context()))

	var names []string
	for _, s := range d.Sources() {
		names = append(names, s.Name())
		_, err := s.Collect(t.Context())
		require.NoError(t, err, s.Name())
	}
	require.Equal(t, []string{"broker:default", "broker:local", "database:default"}, names)
}

func TestSentinelAndClusterAreServersOfAFile(t *testing.T) {
	t.Parallel()
	for name, uri := range map[string]string{
		"Sentinel": testserver.StartRedisSentinel(t).URL + "/0?socket_timeout=2&sentinel_username=&sentinel_password=",
		"Cluster":  testserver.StartRedisCluster(t, 2).URL + "?max_connections=4",
	} {
		d := open(t, uri, testserver.Postgres(t).URL)
		require.NoError(t, d.Broker("default").Ping(t.Context()), name)
		require.NoError(t, d.Register(handler.Events("shop.Orders", testserver.Name(t)+"::order", handler.Any(ignore))))
		figures, err := d.Sources()[0].Collect(t.Context())
		require.NoError(t, err, name)
		require.Equal(t, collector.Known(1), figures.Brokers[0].Up, name)
	}
}

func TestADomainOpensWhileItsServersAreDown(t *testing.T) {
	t.Parallel()
	port := testserver.FreePort(t)
	d := open(t, fmt.Sprintf("redis://127.0.0.1:%d/0", port), fmt.Sprintf("postgresql+psycopg2://me@127.0.0.1:%d/shop?connect_timeout=1", port))
	require.Error(t, d.Broker("default").Ping(t.Context()))
	require.Error(t, d.Database("default").Ping(t.Context()))
}

// Secret stores mount passwords as they are, and rotate them.
func TestAMountedPasswordMayHoldAnythingAndBeRotated(t *testing.T) {
	t.Parallel()
	const first, second = "se%41cret/#?@:&", "${next}%zz /"
	server := testserver.StartRedis(t, "--requirepass", first)
	path := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(path, []byte(first+"\n"), 0o600))
	d := open(t, "redis://:${file:"+path+"}@"+server.Addr+"/0", testserver.Postgres(t).URL)
	require.NoError(t, d.Broker("default").Ping(t.Context()))

	client := redis.NewClient(&redis.Options{Addr: server.Addr, Password: first})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	require.NoError(t, client.ConfigSet(t.Context(), "requirepass", second).Err())
	require.NoError(t, os.WriteFile(path, []byte(second), 0o600))
	require.NoError(t, client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err())
	require.Eventually(t, func() bool { return d.Broker("default").Ping(t.Context()) == nil }, time.Minute, 10*time.Millisecond)
}

func TestHandlersOfTheFileArePostedToTheirTarget(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	t.Cleanup(target.Close)
	c, err := config.Parse("domain.toml", fmt.Appendf(nil, `
[observatory.handlers.Mailer]
stream = "shop::order"
deliver = "%s"
headers.Authorization = "Bearer t0k"
`, target.URL))
	require.NoError(t, err)
	d, err := domain.Open(t.Context(), c, adapters.All())
	require.NoError(t, err)
	config, err := d.Config()
	require.NoError(t, err)

	event := &message.Envelope{Data: []byte(`{}`), Metadata: message.Metadata{Headers: message.Headers{ID: "1", Type: "Shop.OrderPlaced.v1"}}}
	require.NoError(t, config.Subscriptions[0].Func(t.Context(), event))
	header := <-got
	require.Equal(t, "Bearer t0k", header.Get("Authorization"))
	require.Equal(t, "urn:protean:shop", header.Get("Ce-Source"))
	require.NoError(t, d.Close(t.Context()))
}
