package postgres

import (
	"fmt"
	"net"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

func TestConfigNamesEveryKeyThatCannotWork(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Name: "shop", PoolSize: -1, MaxOverflow: new(-2), PoolRecycle: -1, PoolTimeout: -1})
	for _, want := range []string{
		`database "shop"`, "URI", "pool_size must be positive, got -1", "max_overflow must be 0 or more", "pool_recycle", "pool_timeout",
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestNothingOfAnAddressThatMayBeSecretReachesAnError(t *testing.T) {
	t.Parallel()
	const password = "hunter2-s3cret"
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, refused.Close())
	for name, c := range map[string]struct{ uri, want string }{
		"wrong password":  {"postgres://us3r:" + password + "@" + strict(t) + "/db", "password authentication failed"},
		"refused":         {"postgres://us3r:" + password + "@" + refused.Addr().String() + "/db?connect_timeout=5", "connection refused"},
		"unresolved":      {"postgres://us3r:" + password + "@nothing.invalid/db", "nothing.invalid"},
		"unknown setting": {"postgres://us3r:" + password + "@" + strict(t) + "/db?s3tting=s3cret", "unrecognized configuration parameter"},
		"role":            {"postgres://" + password + "@" + strict(t) + "/db", "failed to connect"},
		"bad value":       {"postgres://us3r@h/db?sslmode=s3cret", "a parameter of database_uri, or a PG… variable of the environment, is not valid"},
		"not a URL":       {"postgres://us3r:" + password + "@h:port/db", "database_uri is not a PostgreSQL address"},
		"raw characters":  {"postgres://us3r:" + password + "/#?@h/db", "database_uri is not a PostgreSQL address"},
		"another scheme":  {"mysql://u:" + password + "@h/db", "database_uri is not a PostgreSQL address"},
		"no certificate": {
			"postgres://us3r:" + password + "@h/db?sslmode=verify-full&sslrootcert=/no/such/file",
			"database_uri names a file that cannot be read: open /no/such/file",
		},
		"key words": {"host=h password='" + password, "database_uri is not a PostgreSQL address"},
	} {
		d := open(t, c.uri)
		_, acquire := d.Acquire(t.Context())
		_, collect := d.Source("shop", "default").Collect(t.Context())
		for _, err := range []error{acquire, d.Ping(t.Context()), collect} {
			require.ErrorContains(t, err, c.want, name)
			for _, secret := range []string{password, url.QueryEscape(password), "s3cret", "us3r", "s3tting"} {
				require.NotContains(t, err.Error(), secret, name)
			}
		}
	}
}

// strict is a server that takes no password.
func strict(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			refusePassword(conn)
		}
	}()
	return l.Addr().String()
}

func refusePassword(conn net.Conn) {
	defer conn.Close()
	backend := pgproto3.NewBackend(conn, conn)
	refusal := pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "password authentication failed"}
	for {
		m, err := backend.ReceiveStartupMessage()
		if err != nil {
			return
		}
		if startup, plain := m.(*pgproto3.StartupMessage); plain {
			refusal.Message += fmt.Sprintf(" for user %q", startup.Parameters["user"])
			if _, set := startup.Parameters["s3tting"]; set {
				refusal.Code, refusal.Message = "42704", `unrecognized configuration parameter "s3tting"`
			}
			break
		}
		_, _ = conn.Write([]byte("N")) // neither TLS nor GSS
	}
	backend.Send(&pgproto3.AuthenticationCleartextPassword{})
	_ = backend.Flush()
	_ = backend.SetAuthType(pgproto3.AuthTypeCleartextPassword)
	if _, err := backend.Receive(); err != nil {
		return
	}
	backend.Send(&refusal)
	_ = backend.Flush()
}
