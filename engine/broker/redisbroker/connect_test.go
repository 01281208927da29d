package redisbroker_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/engine/testserver"
)

// roundTrip does one of everything.
func roundTrip(t *testing.T, b *redisbroker.Broker) {
	t.Helper()
	stream := "orders-" + testserver.Name(t)
	require.NoError(t, b.Ping(t.Context()))
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 3)
	require.Equal(t, ids, idsOf(read(t, s, 10)))
	_, err := s.Renew(t.Context(), entries(1, ids...))
	require.NoError(t, err)
	position, _, err := s.Position(t.Context())
	require.NoError(t, err)
	require.Equal(t, ids[2], position.String())
	_, err = s.Attempt(t.Context(), entries(2, ids...))
	require.NoError(t, err)
	_, err = s.Release(t.Context(), entries(2, ids...))
	require.NoError(t, err)
	claimed, _, err := s.ClaimReleased(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, ids, idsOf(claimed))
	_, err = s.DeadLetter(t.Context(), []deadletter.Entry{{ID: ids[0], Data: []byte("{}")}})
	require.NoError(t, err)
	got, acked, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: time.Millisecond, Acks: ids[1:]})
	require.NoError(t, err)
	require.True(t, acked)
	require.Empty(t, got)
	require.Empty(t, pending(t, s))
	resumed := member(stream, "c")
	resumed.Group, resumed.Resume = "resumed", position
	_, err = b.Join(t.Context(), resumed)
	require.NoError(t, err)
}

func TestTLSByURI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, key := selfSigned(t, dir, "localhost")
	port := strconv.Itoa(testserver.FreePort(t))
	testserver.StartRedis(t, "--tls-port", port, "--tls-cert-file", ca, "--tls-key-file", key,
		"--tls-ca-cert-file", ca, "--tls-auth-clients", "yes")
	own := "&ssl_certfile=" + ca + "&ssl_keyfile=" + key

	for query, want := range map[string]string{
		"?ssl_ca_certs=" + ca + own:                               "",
		"?ssl_cert_reqs=none" + own:                               "",
		"?ssl_cert_reqs=required&ssl_ca_certs=" + ca + own:        "",
		"?ssl_cert_reqs=required" + own:                           "unknown authority",
		"?ssl_ca_certs=" + ca + "&ssl_check_hostname=false" + own: "",
		"?ssl_check_hostname=false" + own:                         "unknown authority",
	} {
		err := open(t, "rediss://localhost:"+port+"/0"+query).Ping(t.Context())
		if want == "" {
			require.NoError(t, err, query)
		} else {
			require.ErrorContains(t, err, want, query)
		}
	}
	require.ErrorContains(t, open(t, "rediss://127.0.0.1:"+port+"?ssl_ca_certs="+ca+own).Ping(t.Context()), "127.0.0.1")
	require.NoError(t, open(t, "rediss://127.0.0.1:"+port+"?ssl_check_hostname=false&ssl_ca_certs="+ca+own).Ping(t.Context()))
	require.Error(t, open(t, "rediss://localhost:"+port+"?ssl_ca_certs="+ca).Ping(t.Context()), "the server wants our certificate")
	roundTrip(t, open(t, "rediss://localhost:"+port+"?ssl_ca_certs="+ca+own))
}

// selfSigned writes a certificate for a name, which signs itself, and its key.
func selfSigned(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key
}

func TestAUnixSocketAndADatabaseByURI(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "redis.sock")
	server := testserver.StartRedis(t, "--unixsocket", socket)
	publish(t, open(t, "unix://"+socket+"?db=3"), "from-socket", 1)
	publish(t, open(t, server.URL+"/3"), "from-port", 1)

	keys := server.Client(t).Do(t.Context(), "INFO", "keyspace").String()
	require.Contains(t, keys, "db3:keys=2")
	require.NotContains(t, keys, "db0")
}

func TestARotatedPasswordNeedsNoRestart(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--requirepass", "first")
	var password atomic.Value
	password.Store("first")
	b := open(t, "", func(c *redisbroker.Config) {
		c.URI = func() (string, error) { return "redis://:" + password.Load().(string) + "@" + server.Addr, nil }
	})
	stream := testserver.Name(t)
	publish(t, b, stream, 1)

	admin := server.Client(t)
	require.NoError(t, admin.Do(t.Context(), "AUTH", "first").Err())
	password.Store("second")
	pipe := admin.Pipeline()
	pipe.Do(t.Context(), "AUTH", "first")
	pipe.Do(t.Context(), "CONFIG", "SET", "requirepass", "second")
	pipe.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)

	publish(t, b, stream, 1)
}

func TestAServerThatIsDownIsNamedAndComesBack(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	stream := testserver.Name(t)
	b := open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 3)
	read(t, s, 2)

	server.Stop()
	for range 200 { // more often than the pool has connections
		err := b.Ping(t.Context())
		require.ErrorContains(t, err, server.Addr)
		require.ErrorContains(t, err, "connection refused")
		_, _, err = s.Read(t.Context(), consumergroup.Read{Max: 1})
		require.ErrorContains(t, err, "connection refused")
		_, _, err = s.Read(t.Context(), consumergroup.Read{Max: 1, Block: maxWait})
		require.ErrorContains(t, err, "connection refused")
	}
	require.Zero(t, b.PoolActive())
	require.NotContains(t, clientLog.String(), server.Addr, "the client library prints nothing")

	server.Start()
	require.NoError(t, b.Ping(t.Context()), "at once")
	require.Equal(t, ids[:2], idsOf(pending(t, s)), "nothing is lost")
	require.Equal(t, ids[2:], idsOf(read(t, s, 10)))
}

func TestAServerThatIsDownAtStartIsNoErrorOfNew(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	server.Stop()
	b := open(t, server.URL)
	_, err := b.Join(t.Context(), member("s", "c"))
	require.ErrorContains(t, err, "connection refused")
	server.Start()
	roundTrip(t, b)
}

func TestAServerThatDoesNotAnswerHoldsNoCallerBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b := open(t, server.URL, func(c *redisbroker.Config) { c.SocketTimeout = time.Hour })
	s := join(t, b, "s", "c")
	require.NoError(t, b.Ping(t.Context()))
	server.Pause()
	defer server.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for name, operation := range map[string]func() error{
		"ping":    func() error { return b.Ping(ctx) },
		"ack":     func() error { return s.Ack(ctx, []string{"1-1"}) },
		"attempt": func() error { _, err := s.Attempt(ctx, entries(2, "1-1")); return err },
	} {
		require.Error(t, operation(), name)
	}
}

func TestAClosedBrokerIsDoneWithItsServer(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b := open(t, server.URL)
	roundTrip(t, b)
	require.NoError(t, b.Close(t.Context()))
	require.Zero(t, b.PoolActive())
	require.ErrorIs(t, b.Ping(t.Context()), broker.ErrClosed)
	watcher := server.Client(t)
	require.Eventually(t, func() bool {
		return strings.Count(watcher.ClientList(t.Context()).Val(), "\n") == 1
	}, time.Minute, time.Millisecond, "only the watcher is connected")
}

// Whatever goes wrong, no error and no log line holds a password.
func TestErrorsNeverHoldThePassword(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--requirepass", "right")
	var logged bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&logged, nil))
	for _, uri := range []string{
		"redis://user:hunter2@" + server.Addr,
		"redis://:hunter2@" + server.Addr,
		"redis://user:hunter2@127.0.0.1:1",
		"rediss://user:hunter2@" + server.Addr,
		"rediss://user:hunter2@localhost?ssl_ca_certs=/does/not/exist",
		"redis://user:hunter2@localhost/notanumber",
		"redis://user:hunter2@localhost:notaport",
		"redis://user:hunter2@local host",
		"redis://user:hunter2/#@localhost",
		"redis://user:1/hunter2@localhost",
		"redis://user:1?hunter2@localhost",
		"redis:user:hunter2@localhost",
		"redis+sentinel://user:hunter2@localhost",
		"http://user:hunter2@localhost",
		"redis://user:hunter2@localhost?what=ever",
		"redis://user:hunter2%zz@localhost",
		"unix://user:hunter2@/does/not/exist",
	} {
		b, err := redisbroker.New(redisbroker.Config{URI: at(uri), Logger: logger, ConnectTimeout: time.Second})
		if err == nil {
			err = b.Ping(t.Context())
			_, joinErr := b.Join(t.Context(), member("s", "c"))
			err = errors.Join(err, joinErr, b.Close(t.Context()))
		}
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2", "%s", uri)
	}
	require.NotContains(t, logged.String(), "hunter2")
}

// Newer servers say which user it is that has not the right. Where no password is
// given, the name of the user is often the secret.
func TestErrorsNeverHoldTheUser(t *testing.T) {
	t.Parallel()
	var logged testlog.Output
	b := open(t, "redis://hunter2@"+denying(t, "NOPERM User hunter2 has no permissions to run the 'xadd' command"), func(c *redisbroker.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	})
	_, joinErr := b.Join(t.Context(), member("hunter2::s", "c"))
	for _, err := range []error{joinErr, b.Ping(t.Context())} {
		require.ErrorContains(t, err, "NOPERM User *** has no permissions")
	}
	require.Contains(t, logged.String(), "NOPERM User *** has no permissions")
	require.Contains(t, logged.String(), "stream=hunter2::s", "a stream of that name is none")
}

// denying is the address of a server that answers each command with an error.
func denying(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); served.Wait() })
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if strings.HasPrefix(lines.Text(), "*") {
						fmt.Fprintf(conn, "-%s\r\n", text)
					}
				}
			})
		}
	})
	return l.Addr().String()
}

func TestAURIThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	_, err := redisbroker.New(redisbroker.Config{Name: "orders", URI: func() (string, error) { return "", os.ErrNotExist }})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, `"orders"`)
}

func TestAConfigThatCannotWorkNamesItsFields(t *testing.T) {
	t.Parallel()
	_, err := redisbroker.New(redisbroker.Config{MaxConnections: -1, SocketTimeout: -1, ConnectTimeout: -1})
	for _, field := range []string{"URI", "MaxConnections", "SocketTimeout", "ConnectTimeout"} {
		require.ErrorContains(t, err, field)
	}
}

func TestAConnectionThatIsCutIsReplaced(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	proxy := testserver.Proxy(t, server.Addr)
	b := open(t, server.Via(proxy.Addr))
	roundTrip(t, b)
	proxy.Cut()
	require.Eventually(t, func() bool { return b.Ping(t.Context()) == nil }, time.Minute, time.Millisecond)
}

func TestAnAddressThatSwallowsConnectionsEndsAtTheConnectTimeout(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, by the kernel, and never speaks TLS
	require.NoError(t, err)
	defer l.Close()
	b := open(t, "rediss://"+l.Addr().String()+"?ssl_cert_reqs=none", func(c *redisbroker.Config) {
		c.ConnectTimeout = 20 * time.Millisecond
	})
	require.ErrorContains(t, b.Ping(t.Context()), l.Addr().String())
}
