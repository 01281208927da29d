package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// stage is a scenario under way: the servers, the replicas, and what happened.
type stage struct {
	scenario
	options
	programs *programs
	dir      string // logs and files of the replicas
	random   *rand.Rand

	history     *history
	redis       *redisServer
	clock       string // the file of Redis' clock
	application *application
	replicas    []*replica
	started     []int // how often each replica was started

	load context.Context // ends with the load
}

// result is what a scenario came to.
type result struct {
	scenario    scenario
	counts      counts
	deadLetters int64
	history     string
	broken      []string
}

// play runs one scenario from empty servers to counted messages.
func play(ctx context.Context, s scenario, o options, p *programs) (r result, err error) {
	g := &stage{
		scenario: s, options: o, programs: p, dir: filepath.Join(o.history, s.name),
		random: rand.New(rand.NewPCG(o.seed, uint64(len(s.name)))),
	}
	if err := os.RemoveAll(g.dir); err != nil {
		return result{}, err
	}
	r = result{scenario: s, history: filepath.Join(g.dir, "history.jsonl")}
	if g.history, err = newHistory(r.history); err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, g.history.close()) }()
	if err := g.open(ctx); err != nil {
		return result{}, errors.Join(err, g.kill())
	}
	if err := g.underLoad(ctx); err != nil {
		return result{}, errors.Join(err, g.kill())
	}
	missing, err := g.drain(ctx)
	if err != nil {
		return result{}, errors.Join(err, g.kill())
	}
	kept, err := g.redis.entries(ctx)
	if err != nil {
		return result{}, errors.Join(err, g.kill())
	}
	if r.deadLetters, err = g.redis.client.XLen(ctx, stream+":dlq").Result(); err != nil {
		return result{}, errors.Join(err, g.kill())
	}
	stopped := g.stop()
	r.counts = count(g.history.all(), kept, s.ordered)
	r.broken = s.bounds.broken(r.counts, r.deadLetters)
	if missing != "" {
		r.broken = append(r.broken, missing)
	}
	if stopped != nil {
		r.broken = append(r.broken, stopped.Error())
	}
	return r, nil
}

// open starts everything.
func (g *stage) open(ctx context.Context) error {
	var env []string
	if g.redisClock {
		g.clock = filepath.Join(g.dir, "clock")
		if err := setClock(g.clock, 0); err != nil {
			return err
		}
		env = []string{"LD_PRELOAD=" + g.programs.clock, "CLOCK_OFFSET_FILE=" + g.clock}
	}
	var err error
	if g.redis, err = startRedis(ctx, filepath.Join(g.dir, "redis.log"), g.fsync, env); err != nil {
		return err
	}
	if g.application, err = startApplication(g.history, g.work); err != nil {
		return err
	}
	g.replicas = make([]*replica, g.count)
	g.started = make([]int, g.count)
	for i := range g.replicas {
		if err := g.start(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// start runs replica i, again where it was ended.
func (g *stage) start(ctx context.Context, i int) error {
	r, err := g.another(ctx, i)
	if err != nil {
		return err
	}
	g.replicas[i] = r
	return nil
}

// another starts a process for replica i beside the one that it has. They share
// the way to Redis.
func (g *stage) another(ctx context.Context, i int) (*replica, error) {
	var l *link
	if r := g.replicas[i]; r != nil {
		l = r.link
	}
	addr := g.redis.addr
	if g.network {
		if l == nil {
			var err error
			if l, err = newLink(g.redis.addr); err != nil {
				return nil, err
			}
		}
		addr = l.addr
	}
	program := g.programs.plain
	if g.movable {
		program = g.programs.movable
	}
	g.started[i]++
	r, err := startReplica(ctx, fmt.Sprintf("r%d.%d", i+1, g.started[i]), program, g.dir, addr, g.application.url, g.claim)
	if err != nil {
		return nil, err
	}
	r.link = l
	return r, nil
}

// underLoad publishes for the length of the load, while the faults are played,
// and returns when both are over.
func (g *stage) underLoad(ctx context.Context) error {
	seconds := g.length
	if g.seconds > 0 {
		seconds = g.seconds
	}
	load, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer cancel()
	g.load = load
	var work sync.WaitGroup
	publishing := rand.New(rand.NewPCG(g.seed, 2))
	work.Go(func() { publish(load, g.redis.addr, g.rate, publishing, g.history) })
	err := g.faults(ctx, g)
	if err != nil {
		cancel()
	}
	work.Wait()
	return errors.Join(err, ctx.Err())
}

// pause waits, and says whether the load still goes on after that.
func (g *stage) pause(d time.Duration) bool {
	select {
	case <-g.load.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// part is a part of the length of the load.
func (g *stage) part(of float64) time.Duration {
	seconds := g.length
	if g.seconds > 0 {
		seconds = g.seconds
	}
	return time.Duration(of * float64(seconds) * float64(time.Second))
}

// victim is the replica that chance picks.
func (g *stage) victim() int { return g.random.IntN(len(g.replicas)) }

// fault notes what was done, and how many entries it may have repeated.
func (g *stage) fault(inFlight int, format string, args ...any) {
	g.history.add(record{Kind: kindFault, At: g.history.now(), Text: fmt.Sprintf(format, args...), InFlight: inFlight})
}

func (g *stage) mended(format string, args ...any) {
	g.history.add(record{Kind: kindMend, At: g.history.now(), Text: fmt.Sprintf(format, args...)})
}

// inFlight is what all replicas hold.
func (g *stage) inFlight(ctx context.Context) (int, error) {
	pending, err := g.redis.pending(ctx)
	n := 0
	for _, entries := range pending {
		n += int(entries)
	}
	return n, err
}

// drain waits until every confirmed message was called and nothing is pending.
// After the longest time that a takeover may need it says what is missing.
func (g *stage) drain(ctx context.Context) (string, error) {
	limit := 4*g.claim + 30*time.Second
	deadline := time.Now().Add(limit)
	for {
		missing, err := g.application.missing()
		if err != nil {
			return "", err
		}
		pending, err := g.inFlight(ctx)
		if err != nil {
			return "", err
		}
		if missing == 0 && pending == 0 {
			return "", nil
		}
		if time.Now().After(deadline) {
			return fmt.Sprintf("%s after the load %d confirmed messages were not called, and %d entries pending", limit, missing, pending), nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// stop ends everything politely.
func (g *stage) stop() error {
	var errs []error
	for _, r := range g.replicas {
		errs = append(errs, r.end(syscall.SIGTERM))
		if r.link != nil {
			r.link.close()
		}
	}
	return errors.Join(append(errs, g.application.close(), g.redis.close())...)
}

// kill ends whatever was started.
func (g *stage) kill() error {
	var errs []error
	for _, r := range g.replicas {
		if r == nil {
			continue
		}
		errs = append(errs, r.end(syscall.SIGKILL))
		if r.link != nil {
			r.link.close()
		}
	}
	if g.application != nil {
		errs = append(errs, g.application.close())
	}
	if g.redis != nil {
		errs = append(errs, g.redis.close())
	}
	return errors.Join(errs...)
}
