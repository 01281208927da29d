package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// replica is one of the processes that share the group. When it is started again
// it is another process, with another name.
type replica struct {
	name string // r2.5 is the fifth process of the second replica
	link *link  // its way to Redis; nil: direct
	// ready is the URL of its readiness.
	ready string
	*process
}

// configuration is the file of a replica.
func configuration(redisAddr, target string, claim time.Duration) string {
	return fmt.Sprintf(`
[observatory]
name = "chaos"

[brokers.default]
provider = "redis"
URI = "redis://%s/0"

[observatory.handlers.%s]
stream = %q
deliver = %q
messages_per_tick = 50
concurrency = 8
max_retries = 3
retry_delay_seconds = 0.2
claim_idle_seconds = %g
`, redisAddr, group, stream, target, claim.Seconds())
}

// startReplica returns once it is ready, at which it has joined the group. The
// caller ends it.
func startReplica(ctx context.Context, name, program, dir, redisAddr, applicationURL string, claim time.Duration) (*replica, error) {
	health, err := freeAddress()
	if err != nil {
		return nil, err
	}
	metrics, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, name+".toml")
	if err := os.WriteFile(file, []byte(configuration(redisAddr, applicationURL+"/"+name, claim)), 0o600); err != nil {
		return nil, err
	}
	p, err := launch(filepath.Join(dir, name+".log"), nil, program, "serve", "--config", file,
		"--health.listen-address", health, "--web.listen-address", metrics, "--log.level", "info", "--log.format", "json")
	if err != nil {
		return nil, err
	}
	r := &replica{name: name, ready: "http://" + health + "/readyz", process: p}
	if err := p.await(ctx, r.isReady); err != nil {
		return nil, errors.Join(err, p.end(syscall.SIGKILL))
	}
	return r, nil
}

func (r *replica) isReady() error {
	_, err := probe(r.ready)
	return err
}

// clockIs waits until the process itself says, by what it answers, that its clock
// is so far from ours.
func (r *replica) clockIs(ctx context.Context, offset time.Duration) error {
	return r.await(ctx, func() error {
		date, err := probe(r.ready)
		if off := date.Sub(time.Now().Add(offset)).Abs(); err == nil && off > 5*time.Second {
			err = fmt.Errorf("the clock of %s is %s away from where it was moved", r.name, off)
		}
		return err
	})
}

// holds is how many entries this process has in the group.
func (r *replica) holds(pending map[string]int64) int {
	var n int64
	for consumer, entries := range pending {
		if strings.Contains(consumer, fmt.Sprintf("-%d-", r.pid())) {
			n += entries
		}
	}
	return int(n)
}
