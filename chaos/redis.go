package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisServer is a redis-server with an append-only file, and connections of our
// own to it that no fault is injected into.
type redisServer struct {
	addr string
	dir  string
	log  string
	args []string
	env  []string
	*process
	client *redis.Client
}

// startRedis returns once the server answers. fsync is its appendfsync; env is
// added to its environment. The caller closes it.
func startRedis(ctx context.Context, log, fsync string, env []string) (*redisServer, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "chaos-redis-")
	if err != nil {
		return nil, err
	}
	s := &redisServer{addr: addr, dir: dir, log: log, env: env, args: []string{
		"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", fsync,
	}}
	s.client = newClient(addr)
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// silence keeps go-redis from printing each refusal of a server that was ended on
// purpose.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(silence{}) }

// newClient repeats nothing: each command is sent once, and its error is seen.
func newClient(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: addr, MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second,
		ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, ContextTimeoutEnabled: true,
	})
}

// start runs the server, again after it was ended, on the same files.
func (s *redisServer) start(ctx context.Context) error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("redis-server is needed on the PATH (`make servers` installs it): %w", err)
	}
	if s.process, err = launch(s.log, s.env, path, s.args...); err != nil {
		return err
	}
	return s.await(ctx, func() error { return s.client.Ping(ctx).Err() })
}

func (s *redisServer) close() error {
	errs := []error{s.client.Close()}
	if s.process != nil {
		errs = append(errs, s.end(syscall.SIGKILL))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// pending is how many entries each consumer holds.
func (s *redisServer) pending(ctx context.Context) (map[string]int64, error) {
	summary, err := s.client.XPending(ctx, stream, group).Result()
	if err != nil {
		return nil, fmt.Errorf("what is in flight: %w", err)
	}
	return summary.Consumers, nil
}

// entries are the ids in the stream.
func (s *redisServer) entries(ctx context.Context) (map[string]bool, error) {
	kept := map[string]bool{}
	from := "-"
	for {
		page, err := s.client.XRangeN(ctx, stream, from, "+", 10_000).Result()
		if err != nil {
			return nil, fmt.Errorf("read the stream: %w", err)
		}
		for _, entry := range page {
			kept[entry.ID] = true
			from = "(" + entry.ID
		}
		if len(page) == 0 {
			return kept, nil
		}
	}
}

// setClock moves the wall clock of a Redis that runs over clocks/redis.c, at once:
// the file is in its memory.
func setClock(file string, offset time.Duration) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(int64(offset.Seconds()))), 0)
	return errors.Join(err, f.Close())
}

// refused says of an error that nothing reached the server, or that the server
// said no: the message is surely not there. Any other error leaves it unknown.
func refused(err error) bool {
	var reply redis.Error
	if errors.As(err, &reply) && !errors.Is(err, redis.Nil) {
		return true
	}
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "dial" || strings.Contains(err.Error(), "connection pool timeout")
}
