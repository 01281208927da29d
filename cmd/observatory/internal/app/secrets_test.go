package app_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testserver"
)

// Every secret of this test has this in it, and nothing else has.
const secret = "hunter2"

// secretShop is a shop whose every server and target has a secret.
type secretShop struct {
	*running
	redis, postgres *testserver.FaultProxy
	client          *redis.Client
	shop            *application
}

func openSecretShop(t *testing.T) *secretShop {
	t.Helper()
	server, database := testserver.StartRedis(t, "--requirepass", "redis-"+secret), testserver.Postgres(t)
	s := &secretShop{
		redis: testserver.Proxy(t, server.Addr), postgres: testserver.Proxy(t, database.Addr),
		client: redis.NewClient(&redis.Options{Addr: server.Addr, Password: "redis-" + secret}),
		shop:   newApplication(t, nil),
	}
	t.Cleanup(func() { require.NoError(t, s.client.Close()) })
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("token-"+secret), 0o600))
	s.running = start(t, app.Options{LogLevel: "debug", ConfigPath: shoptest.Configure(t, broker("redis://:redis-"+secret+"@"+s.redis.Addr), fmt.Sprintf(`
[databases.default]
provider = "postgresql"
database_uri = "postgresql://postgres:postgres-%[1]s@%[2]s/%[3]s"

[telemetry]
enabled = true
endpoint = "http://otlp:otlp-%[1]s@%[4]s"

[observatory.handlers.OrderMailer]
stream = %[5]q
deliver = %[6]q
headers.Authorization = "Bearer ${file:%[7]s}"
headers.X-Api-Key = "key-%[1]s"
max_retries = 1
`, secret, s.postgres.Addr, database.Name, testserver.FreeAddress(t), stream,
		strings.Replace(s.shop.URL, "http://", "http://mailer:url-"+secret+"@", 1)+"?key=query-"+secret, token))})
	return s
}

func TestNoSecretReachesALogAMetricOrADeadLetter(t *testing.T) {
	t.Parallel()
	s := openSecretShop(t)

	// The application gets them all, and puts them into its error pages.
	sent := make(chan string, 100)
	echo := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			text := fmt.Sprint(r.URL, r.Header, user, password)
			sent <- text
			http.Error(w, text, status)
		}
	}
	s.shop.answers(s.shop.unless("failed", echo(http.StatusInternalServerError)))
	shoptest.Place(t, s.client, "failed")
	require.Contains(t, next(s.running, sent), "token-"+secret)
	s.until("it is dead-lettered", func() bool { return len(deadLetters(t, s.client)) == 1 })
	s.shop.answers(s.shop.unless("refused", echo(http.StatusUnprocessableEntity)))
	shoptest.Place(t, s.client, "refused")
	s.until("it is dead-lettered", func() bool { return len(deadLetters(t, s.client)) == 2 })
	s.shop.answers(echo(http.StatusUnauthorized))
	shoptest.Place(t, s.client, "held up")
	s.becomes(1, "protean_subscription_target_down")
	s.shop.answers(nil)
	s.becomes(0, "protean_subscription_target_down")

	s.redis.Down()
	s.postgres.Down()
	s.becomes(0, "protean_collector_success", "source", "broker:default")
	s.becomes(0, "protean_collector_success", "source", "database:default")
	exposed := s.scrape()
	s.until("it is not ready", func() bool {
		status, body := shoptest.Get(t, "http://"+s.health+"/readyz")
		exposed += body
		return status == http.StatusServiceUnavailable
	})
	s.until("the log names Redis", func() bool { return strings.Contains(s.printed.String(), "cannot read") })
	s.redis.Up()
	s.postgres.Up()
	s.until("it reads again", func() bool { return strings.Contains(s.printed.String(), "reading again") })
	require.NoError(t, s.halt())

	require.NotContains(t, exposed, secret)
	require.NotContains(t, s.printed.String(), secret)
	for _, dead := range s.client.XRange(context.Background(), stream+":dlq", "-", "+").Val() {
		require.NotContains(t, fmt.Sprint(dead), secret)
	}
}
