package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// server is a redis-server of our own: a free loopback port, no persistence, a
// temporary folder.
type server struct {
	addr string
	dir  string
	cmd  *exec.Cmd
	done chan error
}

// startServer returns once the server answers. The caller stops it.
func startServer(ctx context.Context) (*server, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("the benchmark needs redis-server on the PATH: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-redis-")
	if err != nil {
		return nil, err
	}
	s := &server{addr: net.JoinHostPort("127.0.0.1", port), dir: dir, done: make(chan error, 1)}
	s.cmd = exec.Command(path, "--bind", "127.0.0.1", "--port", port, "--dir", dir,
		"--save", "", "--appendonly", "no", "--loglevel", "warning")
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", path, err), os.RemoveAll(dir))
	}
	go func() { s.done <- s.cmd.Wait() }()
	if err := s.await(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// await pings until the server answers, ends, or ten seconds are over.
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := s.client(1)
	defer client.Close()
	for {
		err := client.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		select {
		case end := <-s.done:
			s.done <- end
			return fmt.Errorf("redis-server on %s ended at start: %w", s.addr, end)
		case <-ctx.Done():
			return fmt.Errorf("redis-server on %s does not answer: %w", s.addr, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// version is what the server says of itself.
func (s *server) version(ctx context.Context) (string, error) {
	client := s.client(1)
	defer client.Close()
	info, err := client.InfoMap(ctx, "server").Result()
	if err != nil {
		return "", err
	}
	return info["Server"]["redis_version"], nil
}

// client has up to `connections` connections to the server.
func (s *server) client(connections int) *redis.Client { return dial(s.addr, connections) }

func dial(addr string, connections int) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: addr, PoolSize: connections})
}

// stop ends the server and removes its folder.
func (s *server) stop() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case _ = <-s.done: //nolint:staticcheck // how it ended is of no interest
	case <-time.After(10 * time.Second):
		err = errors.Join(err, s.cmd.Process.Kill())
		_ = <-s.done //nolint:staticcheck // the same
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
