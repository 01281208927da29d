package testserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const installRedis = "install it with `apt-get install -y redis-server` (Debian) or `brew install redis` (macOS), or set REDIS_URL"

// RedisServer is a Redis that answers.
type RedisServer struct {
	// URL is the server's address as redis://host:port, or as REDIS_URL has it.
	URL string
	// Addr is its host:port.
	Addr string
}

// Redis returns the Redis that all tests of this binary share: the one of
// REDIS_URL, else one started for them. Keys come from [Name]; a shared server
// is never flushed.
func Redis(t testing.TB) *RedisServer {
	t.Helper()
	shared.require(t)
	server, err := sharedRedis()
	if err != nil {
		t.Fatal("testserver: redis:", err)
	}
	return server
}

var sharedRedis = sync.OnceValues(func() (*RedisServer, error) {
	if url := os.Getenv("REDIS_URL"); url != "" {
		return givenRedis(url)
	}
	dir, err := folder(nil)
	if err != nil {
		return nil, err
	}
	shared.atEnd(func() error { return os.RemoveAll(dir) })
	own := &RedisProcess{dir: dir}
	if err := own.start(); err != nil {
		return nil, err
	}
	shared.atEnd(own.stop)
	return &own.RedisServer, nil
})

func givenRedis(url string) (*RedisServer, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("REDIS_URL is not an address of a Redis: expected redis://host:port")
	}
	if err := answers(options); err != nil {
		return nil, fmt.Errorf("REDIS_URL names %s, which does not answer: %w", options.Addr, err)
	}
	return &RedisServer{URL: url, Addr: options.Addr}, nil
}

// Client returns a client of the server, closed at the end of the test.
func (s *RedisServer) Client(t testing.TB) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(s.URL)
	if err != nil {
		t.Fatalf("testserver: redis %s: %v", s.Addr, err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Via is the server's URL by way of another host:port, such as a proxy's.
func (s *RedisServer) Via(addr string) string {
	return strings.Replace(s.URL, s.Addr, addr, 1)
}

// RedisProcess is a Redis of one test, which may stop and pause it.
type RedisProcess struct {
	RedisServer

	t        testing.TB
	dir      string
	port     int
	args     []string
	sentinel bool // it is a Sentinel, which needs a file of its own
	proc     *process
}

// StartRedis starts a Redis for this test alone, with further arguments for
// redis-server such as "--requirepass", "secret". It listens on a free loopback
// port, keeps nothing on disk unless args say so ("--appendonly", "yes"), and
// ends with the test.
func StartRedis(t testing.TB, args ...string) *RedisProcess {
	t.Helper()
	s := &RedisProcess{t: t, dir: t.TempDir(), args: args}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

// Start runs the server again after Stop, at the same address.
func (s *RedisProcess) Start() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatal("testserver: redis:", err)
	}
}

// Stop ends the server, as SIGTERM does; it does nothing where it is stopped.
func (s *RedisProcess) Stop() {
	s.t.Helper()
	if err := s.stop(); err != nil {
		s.t.Error("testserver: redis:", err)
	}
}

// Pause has the server accept connections and bytes but answer nothing, until
// Resume or Stop.
func (s *RedisProcess) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *RedisProcess) Resume() { s.signal(syscall.SIGCONT) }

func (s *RedisProcess) signal(signal syscall.Signal) {
	s.t.Helper()
	if s.proc == nil {
		s.t.Fatalf("testserver: redis %s is stopped and cannot get %s", s.Addr, signal)
	}
	if err := s.proc.cmd.Process.Signal(signal); err != nil {
		s.t.Fatalf("testserver: redis %s: %s: %v", s.Addr, signal, err)
	}
}

// start tries a few ports where none is given yet, since another process may
// take the free one first.
func (s *RedisProcess) start() error {
	if s.port != 0 {
		return s.startAt(s.port)
	}
	var err error
	for range 5 {
		var port int
		if port, err = freePort(); err != nil {
			return err
		}
		if err = s.startAt(port); err == nil || !strings.Contains(err.Error(), "in use") {
			return err
		}
	}
	return err
}

func (s *RedisProcess) startAt(port int) error {
	path, err := find("redis-server", installRedis, "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")
	if err != nil {
		return err
	}
	args := append([]string{
		"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", s.dir,
		"--save", "", "--appendonly", "no",
	}, s.args...)
	if s.sentinel {
		file := filepath.Join(s.dir, "sentinel.conf")
		text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %q\n", port, s.dir)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		args = []string{file, "--sentinel"}
	}
	proc, err := start(nil, path, args...)
	if err != nil {
		return err
	}
	addr := "127.0.0.1:" + strconv.Itoa(port)
	if err := proc.await(func() error { return ping(addr) }); err != nil {
		return errors.Join(err, proc.stop(syscall.SIGKILL))
	}
	s.proc, s.port, s.Addr, s.URL = proc, port, addr, "redis://"+addr
	return nil
}

func (s *RedisProcess) stop() error {
	if s.proc == nil {
		return nil
	}
	proc := s.proc
	s.proc = nil
	return proc.stop(syscall.SIGTERM)
}

// answers pings a given server once.
func answers(options *redis.Options) error {
	client := redis.NewClient(options)
	defer client.Close()
	return client.Ping(context.Background()).Err()
}

// ping does without a client, which would log each refusal of a server that is
// still starting. A refusal because of a missing password is an answer.
func ping(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	reply, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.HasPrefix(reply, "+PONG") || strings.HasPrefix(reply, "-NOAUTH") {
		return nil
	}
	return fmt.Errorf("it answers %s", strings.TrimSpace(reply))
}
