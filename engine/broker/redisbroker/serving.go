package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// refusals are the codes with which a server that answers refuses that entries
// are consumed: it is a replica, has too few replicas, is a replica without its
// master, loads its data, cannot write its data to disk, denies the right, or
// belongs to a cluster that is down.
var refusals = []string{"READONLY", "NOREPLICAS", "MASTERDOWN", "LOADING", "MISCONF", "NOPERM", "CLUSTERDOWN"}

// refusalCode is the code of a refusal; "" for every other error and for none.
func refusalCode(err error) string {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return ""
	}
	code, _, _ := strings.Cut(reply.Error(), " ")
	if !slices.Contains(refusals, code) {
		return ""
	}
	return code
}

// serving is what is known of whether the server lets entries be consumed.
type serving struct {
	mu sync.Mutex
	// members are those that joined or tried to.
	members map[memberKey]memberState
	// reported is the code that the log has; "" where it says that all is well.
	reported string
}

type memberKey struct{ stream, group, consumer string }

type memberState struct {
	joined bool
	denied error // the missing right; nil where none is known to be missing
}

func keyOf(m consumergroup.Member) memberKey { return memberKey{m.Stream, m.Group, m.Consumer} }

func (s *serving) get(m consumergroup.Member) memberState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.members[keyOf(m)]
}

func (s *serving) set(m consumergroup.Member, state memberState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members == nil {
		s.members = make(map[memberKey]memberState)
	}
	s.members[keyOf(m)] = state
}

// noteInspection takes what the inspector found: the refusal, another error, which
// says nothing about refusals, or neither. A refusal, and its end, are logged once
// each, and a replica is left for the new master.
func (b *Broker) noteInspection(ctx context.Context, err error) {
	code := refusalCode(err)
	if err != nil && code == "" {
		return
	}
	if code == "READONLY" {
		leaveReplica(ctx, b.inspector, probeKey)
	}
	b.serving.mu.Lock()
	defer b.serving.mu.Unlock()
	switch code {
	case b.serving.reported:
	case "":
		b.config.Logger.InfoContext(ctx, "entries can be consumed again")
	default:
		b.config.Logger.WarnContext(ctx, "the server refuses that entries are consumed", "reason", err.Error())
	}
	b.serving.reported = code
}

// noteJoin takes what came of joining. Only a missing right is recorded: every
// other refusal is found by the probe. A right to read that was missing before is
// not proven by joining.
func (b *Broker) noteJoin(m consumergroup.Member, err error) {
	switch {
	case err == nil:
		if !b.serving.get(m).joined {
			b.serving.set(m, memberState{joined: true})
		}
	case hasCode(err, "NOPERM"):
		b.serving.set(m, memberState{denied: err})
	}
}

// noteRead takes what came of a read.
func (m *membership) noteRead(err error) {
	switch {
	case err == nil && m.refused.Load():
		m.refused.Store(false)
		m.broker.serving.set(m.member, memberState{joined: true})
	case hasCode(err, "NOPERM"):
		m.refused.Store(true)
		m.broker.serving.set(m.member, memberState{joined: true, denied: err})
	}
}

// probe are commands that show, without any effect, whether entries can be
// consumed.
type probe struct {
	acks  []probeCommand // of no entry: refused where the server takes no writes
	reads []probeCommand // of those to whom reading was denied
	// denied is a right that was missing when a member tried to join.
	denied error
}

type probeCommand struct {
	command
	key memberKey
	// foreign: the key is none that a member joined, so that a missing right to
	// it is no refusal.
	foreign bool
}

// The probe of a broker that no member has joined is of a key that does not exist.
const (
	probeKey   = "observatory:probe"
	probeGroup = "observatory"
)

// queueProbe adds a probe to a pipeline. One server is probed by one stream, a
// cluster by each, since they are on several nodes.
func (b *Broker) queueProbe(ctx context.Context, pipe redis.Pipeliner) *probe {
	// lastID is above every entry, so that a consumer's history after it is empty.
	const lastID = "18446744073709551615-18446744073709551615"
	b.serving.mu.Lock()
	defer b.serving.mu.Unlock()
	p := &probe{}
	add := func(to *[]probeCommand, key memberKey, foreign bool, args ...any) {
		c := probeCommand{newCommand(ctx, args...), key, foreign}
		*to = append(*to, c)
		_ = pipe.Process(ctx, c.command)
	}
	for key, state := range b.serving.members {
		if !state.joined {
			p.denied = state.denied
			continue
		}
		if state.denied != nil {
			add(&p.reads, key, false, "XREADGROUP", "GROUP", key.group, key.consumer, "COUNT", 1, "STREAMS", key.stream, lastID)
		}
		if state.denied != nil || b.cluster || len(p.acks) == 0 {
			add(&p.acks, key, false, "XACK", key.stream, key.group, "0-0")
		}
	}
	if len(p.acks) == 0 {
		add(&p.acks, memberKey{}, true, "XACK", probeKey, probeGroup, "0-0")
	}
	return p
}

// refusal is why entries cannot be consumed, once the probe's replies are there.
func (p *probe) refusal() error {
	for _, c := range p.acks {
		if code := refusalCode(c.Err()); code != "" && (!c.foreign || code != "NOPERM") {
			return c.Err()
		}
	}
	for _, c := range p.reads {
		if refusalCode(c.Err()) != "" {
			return fmt.Errorf("read %s for group %q: %w", c.key.stream, c.key.group, c.Err())
		}
	}
	return p.denied
}
