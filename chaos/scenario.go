package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// scenario is a load, what is broken meanwhile, and what must hold.
type scenario struct {
	name  string
	about string

	length  int    // seconds of load
	count   int    // replicas
	fsync   string // appendfsync of Redis
	ordered bool   // one process has the stream: each aggregate's messages are called in order
	network bool   // the replicas reach Redis through a network that can be broken
	movable bool   // the replicas have a clock that can be moved
	// redisClock gives Redis a clock that can be moved.
	redisClock bool

	// faults breaks things until the load is over, and leaves everything mended.
	faults func(context.Context, *stage) error
	bounds bounds
}

// promptly is the longest that a message may wait through a stop or a rollout.
const promptly = 2 * time.Second

var all = []scenario{
	{
		name: "kill", about: "kill -9 of one of three replicas every 2 s, restarted at once",
		length: 60, count: 3, fsync: "everysec", faults: kills,
	},
	{
		name: "redis-restart", about: "Redis stopped by SIGTERM and started again, twice; AOF, appendfsync everysec",
		length: 30, count: 3, fsync: "everysec", faults: redisEnds(syscall.SIGTERM), bounds: bounds{redisMayLose: true},
	},
	{
		name: "redis-kill", about: "kill -9 of Redis, started again, twice; AOF, appendfsync always",
		length: 30, count: 3, fsync: "always", faults: redisEnds(syscall.SIGKILL), bounds: bounds{redisMayLose: true},
	},
	{
		name: "redis-kill-1s", about: "kill -9 of Redis, started again, twice; AOF, appendfsync everysec",
		length: 30, count: 3, fsync: "everysec", faults: redisEnds(syscall.SIGKILL), bounds: bounds{redisMayLose: true},
	},
	{
		name: "cut", about: "all three replicas cut off from Redis for 5 s, nothing closed, twice",
		length: 30, count: 3, fsync: "everysec", network: true, faults: cutAll,
	},
	{
		name: "cut-order", about: "one replica alone, cut off for 5 s, and Redis killed: order is promised here",
		length: 30, count: 1, fsync: "everysec", network: true, ordered: true, faults: cutAlone,
	},
	{
		name: "cut-one", about: "one of three replicas cut off past claim_idle_seconds, while its calls go on",
		length: 40, count: 3, fsync: "everysec", network: true, faults: cutOne,
	},
	{
		name: "slow", about: "every reply of Redis 150 ms late and no more than 500 kB/s, for a third of the time",
		length: 30, count: 3, fsync: "everysec", network: true, faults: slowLink,
	},
	{
		name: "freeze", about: "SIGSTOP of one of three replicas past claim_idle_seconds, then SIGCONT",
		length: 40, count: 3, fsync: "everysec", faults: freeze,
	},
	{
		name: "clock", about: "the clock of one replica jumps an hour on, an hour back, and behind",
		length: 20, count: 3, fsync: "everysec", movable: true, faults: replicaClock, bounds: bounds{once: true},
	},
	{
		name: "redis-clock", about: "the clock of Redis jumps an hour on, an hour back, and behind",
		length: 30, count: 3, fsync: "everysec", redisClock: true, faults: redisClock,
	},
	{
		name: "stop", about: "SIGTERM of one of three replicas every 3 s, started again once it has ended",
		length: 30, count: 3, fsync: "everysec", faults: stops, bounds: bounds{once: true, stall: promptly},
	},
	{
		name: "rollout", about: "each replica in turn: a new one is ready, then SIGTERM of the old one",
		length: 30, count: 3, fsync: "everysec", faults: rollout, bounds: bounds{once: true, stall: promptly},
	},
}

// choose picks scenarios by name; none is all.
func choose(names []string) ([]scenario, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []scenario
	var errs []error
	for _, name := range names {
		found := false
		for _, s := range all {
			if s.name == strings.TrimSpace(name) {
				chosen, found = append(chosen, s), true
			}
		}
		if !found {
			errs = append(errs, fmt.Errorf("--only: no scenario is called %q; --list has their names", name))
		}
	}
	return chosen, errors.Join(errs...)
}

func kills(ctx context.Context, g *stage) error {
	for g.pause(2 * time.Second) {
		i := g.victim()
		if err := g.replicas[i].end(syscall.SIGKILL); err != nil {
			return err
		}
		pending, err := g.redis.pending(ctx)
		if err != nil {
			return err
		}
		g.fault(g.replicas[i].holds(pending), "kill -9 of %s", g.replicas[i].name)
		if err := g.start(ctx, i); err != nil {
			return err
		}
		g.mended("%s started", g.replicas[i].name)
	}
	return nil
}

// redisEnds ends Redis at a third and two thirds of the load, and starts it again
// a second later. What was in flight is counted on both sides of the gap.
func redisEnds(s syscall.Signal) func(context.Context, *stage) error {
	return func(ctx context.Context, g *stage) error {
		for range 2 {
			if !g.pause(g.part(0.3)) {
				return nil
			}
			if err := g.endRedis(ctx, s, time.Second); err != nil {
				return err
			}
		}
		return nil
	}
}

func (g *stage) endRedis(ctx context.Context, s syscall.Signal, gone time.Duration) error {
	before, err := g.inFlight(ctx)
	if err != nil {
		return err
	}
	if err := g.redis.end(s); err != nil {
		return err
	}
	at := g.history.now()
	time.Sleep(gone)
	if err := g.redis.start(ctx); err != nil {
		return err
	}
	after, err := g.inFlight(ctx)
	if err != nil {
		return err
	}
	g.history.add(record{Kind: kindFault, At: at, Text: "Redis ended by " + s.String(), InFlight: max(before, after)})
	g.mended("Redis started")
	return nil
}

func cutAll(ctx context.Context, g *stage) error {
	for range 2 {
		if !g.pause(g.part(0.25)) {
			return nil
		}
		if err := g.cut(ctx, 5*time.Second, g.replicas...); err != nil {
			return err
		}
	}
	return nil
}

func cutAlone(ctx context.Context, g *stage) error {
	if !g.pause(g.part(0.25)) {
		return nil
	}
	if err := g.cut(ctx, 5*time.Second, g.replicas...); err != nil {
		return err
	}
	if !g.pause(g.part(0.25)) {
		return nil
	}
	return g.endRedis(ctx, syscall.SIGKILL, time.Second)
}

func cutOne(ctx context.Context, g *stage) error {
	if !g.pause(g.part(0.2)) {
		return nil
	}
	return g.cut(ctx, 2*g.claim+2*time.Second, g.replicas[g.victim()])
}

// cut loses all bytes between some replicas and Redis for a time.
func (g *stage) cut(ctx context.Context, d time.Duration, cutOff ...*replica) error {
	for _, r := range cutOff {
		if err := r.link.cut(); err != nil {
			return err
		}
	}
	pending, err := g.redis.pending(ctx)
	if err != nil {
		return err
	}
	held := 0
	for _, r := range cutOff {
		held += r.holds(pending)
	}
	g.fault(held, "%d replicas cut off for %s", len(cutOff), d)
	time.Sleep(d)
	for _, r := range cutOff {
		if err := r.link.mend(ctx); err != nil {
			return err
		}
	}
	g.mended("the network is back")
	return nil
}

func slowLink(ctx context.Context, g *stage) error {
	if !g.pause(g.part(0.3)) {
		return nil
	}
	for _, r := range g.replicas {
		if err := r.link.slow(150, 50, 500); err != nil {
			return err
		}
	}
	held, err := g.inFlight(ctx)
	if err != nil {
		return err
	}
	g.fault(held, "replies of Redis 150 ms late, at 500 kB/s")
	g.pause(g.part(0.3))
	for _, r := range g.replicas {
		if err := r.link.mend(ctx); err != nil {
			return err
		}
	}
	g.mended("the network is fast again")
	return nil
}

func freeze(ctx context.Context, g *stage) error {
	if !g.pause(g.part(0.2)) {
		return nil
	}
	r := g.replicas[g.victim()]
	pending, err := g.freezeBusy(ctx, r)
	if err != nil {
		return err
	}
	g.fault(r.holds(pending), "SIGSTOP of %s", r.name)
	time.Sleep(2*g.claim + 2*time.Second)
	if err := r.signal(syscall.SIGCONT); err != nil {
		return err
	}
	g.mended("SIGCONT of %s", r.name)
	return nil
}

// freezeBusy stops a process at a moment in which it holds something, and returns
// what each consumer holds.
func (g *stage) freezeBusy(ctx context.Context, r *replica) (map[string]int64, error) {
	for range 100 {
		if err := r.signal(syscall.SIGSTOP); err != nil {
			return nil, err
		}
		pending, err := g.redis.pending(ctx)
		if err != nil || r.holds(pending) > 0 {
			return pending, err
		}
		if err := r.signal(syscall.SIGCONT); err != nil {
			return nil, err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, fmt.Errorf("%s held nothing whenever it was stopped", r.name)
}

// jumps are an hour on, back to the right time, an hour behind, and right again.
var jumps = []time.Duration{time.Hour, -time.Hour, -time.Hour, time.Hour}

func replicaClock(ctx context.Context, g *stage) error {
	r := g.replicas[g.victim()]
	offset := time.Duration(0)
	for _, jump := range jumps {
		if !g.pause(g.part(0.2)) {
			return nil
		}
		s := syscall.SIGUSR1
		if jump < 0 {
			s = syscall.SIGUSR2
		}
		if err := r.signal(s); err != nil {
			return err
		}
		g.fault(0, "the clock of %s jumped by %s", r.name, jump)
		offset += jump
		if err := r.clockIs(ctx, offset); err != nil {
			return err
		}
	}
	return nil
}

func redisClock(ctx context.Context, g *stage) error {
	offset := time.Duration(0)
	for _, jump := range jumps {
		if !g.pause(g.part(0.2)) {
			return nil
		}
		held, err := g.inFlight(ctx)
		if err != nil {
			return err
		}
		offset += jump
		if err := setClock(g.clock, offset); err != nil {
			return err
		}
		g.fault(held, "the clock of Redis jumped by %s", jump)
		now, err := g.redis.client.Time(ctx).Result()
		if err != nil {
			return err
		}
		if off := now.Sub(time.Now().Add(offset)).Abs(); off > 5*time.Second {
			return fmt.Errorf("the clock of Redis is %s away from where it was moved", off)
		}
	}
	return nil
}

func stops(ctx context.Context, g *stage) error {
	for g.pause(3 * time.Second) {
		i := g.victim()
		g.fault(0, "SIGTERM of %s", g.replicas[i].name)
		if err := g.replicas[i].end(syscall.SIGTERM); err != nil {
			return err
		}
		if err := g.start(ctx, i); err != nil {
			return err
		}
		g.mended("%s started", g.replicas[i].name)
	}
	return nil
}

func rollout(ctx context.Context, g *stage) error {
	for g.pause(3 * time.Second) {
		for i, old := range g.replicas {
			fresh, err := g.another(ctx, i)
			if err != nil {
				return err
			}
			g.replicas[i] = fresh
			g.fault(0, "%s is ready, SIGTERM of %s", fresh.name, old.name)
			if err := old.end(syscall.SIGTERM); err != nil {
				return err
			}
			g.mended("%s ended", old.name)
			if !g.pause(time.Second) {
				return nil
			}
		}
	}
	return nil
}
