package redisbroker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
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

// denials are how a server says that the user may not run a command: to the
// client, and from Redis 7 to a script.
var denials = []string{"NOPERM", "ACL failure in script", unnamedDenial}

// unnamedDenial is how a server before Redis 7.2 says it to a script. It names
// neither the command nor the key.
const unnamedDenial = "The user executing the script can't"

func isDenial(err error) bool {
	return slices.ContainsFunc(denials, func(text string) bool { return hasCode(err, text) })
}

// serving is what is known of whether the server lets entries be consumed.
type serving struct {
	mu sync.Mutex
	// members are those that joined or tried to.
	members map[memberKey]memberState
	// reported is the code that the log has; "" where it says that all is well.
	// What is denied to one member is logged for that member instead.
	reported string
}

type memberKey struct{ stream, group, consumer string }

type memberState struct {
	joined bool
	denied error // the right that is missing; nil where none is known to be
}

func keyOf(m consumergroup.Member) memberKey { return memberKey{m.Stream, m.Group, m.Consumer} }

// noteMember records the state of a member, and logs once each that a right is
// missing and that it no longer is.
func (b *Broker) noteMember(ctx context.Context, key memberKey, joined bool, denied error) {
	b.serving.mu.Lock()
	defer b.serving.mu.Unlock()
	if b.serving.members == nil {
		b.serving.members = make(map[memberKey]memberState)
	}
	before := b.serving.members[key].denied
	b.serving.members[key] = memberState{joined, denied}
	switch {
	case before == nil && denied != nil:
		b.config.Logger.WarnContext(ctx, "the server refuses that entries are consumed",
			"stream", key.stream, "group", key.group, "reason", b.connector.hide(denied).Error())
	case before != nil && denied == nil:
		b.config.Logger.InfoContext(ctx, "entries can be consumed again", "stream", key.stream, "group", key.group)
	}
}

func (b *Broker) stateOf(key memberKey) memberState {
	b.serving.mu.Lock()
	defer b.serving.mu.Unlock()
	return b.serving.members[key]
}

// noteJoin takes what came of joining and returns an error that names the right
// that is missing. Only that is recorded: every other refusal is found by the
// probe. Another right that was missing before is not proven by joining.
func (b *Broker) noteJoin(ctx context.Context, m consumergroup.Member, err error) error {
	key := keyOf(m)
	switch {
	case err == nil && !b.stateOf(key).joined:
		b.noteMember(ctx, key, true, nil)
	case isDenial(err):
		err = b.nameDenial(ctx, key, err)
		b.noteMember(ctx, key, false, err)
	}
	return err
}

// noteDenial records that a right is missing to this member, until a probe finds
// it given, and returns an error that names it.
func (m *membership) noteDenial(ctx context.Context, err error) error {
	key := keyOf(m.member)
	err = m.broker.nameDenial(ctx, key, err)
	m.broker.noteMember(ctx, key, true, err)
	return err
}

// nameDenial asks for the right that is missing where the error does not name it.
func (b *Broker) nameDenial(ctx context.Context, key memberKey, err error) error {
	if !hasCode(err, unnamedDenial) {
		return err
	}
	p := &probe{pipe: b.commands.Pipeline()}
	p.addAll(ctx, key)
	p.addRight(ctx, key, "XGROUP", "CREATE", key.stream, key.group, "-") // no group can start at this id
	_, _ = p.pipe.Exec(ctx)                                              // each command has its own error
	if denied := p.denied()[key]; denied != nil {
		return fmt.Errorf("%w: %w", denied, err)
	}
	return err
}

// noteInspection takes what the inspector found: a refusal of the whole server,
// another error, which says nothing about refusals, or neither. A refusal, and its
// end, are logged once each, and a replica is left for the new master.
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
		b.config.Logger.WarnContext(ctx, "the server refuses that entries are consumed", "reason", b.connector.hide(err).Error())
	}
	b.serving.reported = code
}

// probe are commands that show, without any effect, whether entries can be
// consumed.
type probe struct {
	pipe redis.Pipeliner
	ping command
	// writes are refused where the server takes no writes.
	writes []command
	// rights are commands of members, each of which may be denied.
	rights []probeCommand
	// unjoined are members to whom joining was denied.
	unjoined map[memberKey]error
}

type probeCommand struct {
	command
	key memberKey
}

// The probe of a broker that no member has joined is of a key that does not exist.
const (
	probeKey   = "observatory:probe"
	probeGroup = "observatory"
)

// queueProbe adds a probe to a pipeline. One server is probed by one member, and
// each node of a cluster by those that it has the streams of. A member to whom a
// right was denied is probed by all that members do.
func (b *Broker) queueProbe(ctx context.Context, pipe redis.Pipeliner) *probe {
	b.serving.mu.Lock()
	defer b.serving.mu.Unlock()
	p := &probe{pipe: pipe, ping: newCommand(ctx, "PING"), unjoined: make(map[memberKey]error)}
	_ = pipe.Process(ctx, p.ping)
	probed := false
	for key, state := range b.serving.members {
		switch {
		case !state.joined:
			p.unjoined[key] = state.denied
		case state.denied != nil:
			p.addAll(ctx, key)
		case !probed:
			p.add(ctx, key)
			probed = true
		case b.cluster:
			p.addWrite(ctx, key)
		}
	}
	if len(p.writes) == 0 {
		ack := newCommand(ctx, "XACK", probeKey, probeGroup, "0-0")
		p.writes = append(p.writes, ack)
		_ = pipe.Process(ctx, ack)
	}
	return p
}

// addWrite adds an acknowledgement of an entry that does not exist.
func (p *probe) addWrite(ctx context.Context, key memberKey) {
	p.writes = append(p.writes, p.addRight(ctx, key, "XACK", key.stream, key.group, "0-0"))
}

// add adds what is done with entries, for one that does not exist.
func (p *probe) add(ctx context.Context, key memberKey) {
	p.addWrite(ctx, key)
	p.addRight(ctx, key, "XPENDING", key.stream, key.group)
	p.addRight(ctx, key, "XRANGE", key.stream, "0-0", "0-0")
	p.addRight(ctx, key, "XCLAIM", key.stream, key.group, key.consumer, 0, "0-0", "JUSTID")
}

// addAll adds every command of a membership. No entry can be added with the id
// 0-0, and no history is above the highest id there is.
func (p *probe) addAll(ctx context.Context, key memberKey) {
	const lastID = "18446744073709551615-18446744073709551615"
	p.add(ctx, key)
	p.addRight(ctx, key, "XREADGROUP", "GROUP", key.group, key.consumer, "COUNT", 1, "STREAMS", key.stream, lastID)
	p.addRight(ctx, key, "XADD", deadletter.QueueOf(key.stream), "0-0", message.DataField, "")
	p.addRight(ctx, key, "XINFO", "GROUPS", key.stream)
	p.addRight(ctx, key, "XINFO", "STREAM", key.stream)
	nothing := newScript("return 0")
	p.addRight(ctx, key, "EVAL", nothing.source, 1, key.stream)
	p.addRight(ctx, key, "EVALSHA", nothing.hash, 1, key.stream)
}

func (p *probe) addRight(ctx context.Context, key memberKey, args ...any) command {
	c := newCommand(ctx, args...)
	p.rights = append(p.rights, probeCommand{c, key})
	_ = p.pipe.Process(ctx, c)
	return c
}

// denied are the rights that were found to be missing, one for each member.
func (p *probe) denied() map[memberKey]error {
	denied := make(map[memberKey]error)
	for _, c := range p.rights {
		if isDenial(c.Err()) && denied[c.key] == nil {
			denied[c.key] = c.Err()
		}
	}
	return denied
}

// noteProbe takes the replies to a probe and returns why entries cannot be
// consumed: the server does not answer, it refuses, or a right is missing.
func (b *Broker) noteProbe(ctx context.Context, p *probe) error {
	err := p.ping.Err()
	for _, c := range p.writes {
		if code := refusalCode(c.Err()); err == nil && code != "" && code != "NOPERM" {
			err = c.Err()
		}
	}
	b.noteInspection(ctx, err)
	if err != nil {
		return err
	}
	missing := p.denied()
	for _, c := range p.rights {
		b.noteMember(ctx, c.key, true, missing[c.key])
	}
	maps.Copy(missing, p.unjoined)
	if len(missing) == 0 {
		return nil
	}
	byName := func(a, b memberKey) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.group, b.group))
	}
	key := slices.SortedFunc(maps.Keys(missing), byName)[0]
	return fmt.Errorf("%s for group %q: %w", key.stream, key.group, missing[key])
}

// isUnanswered reports whether a node that takes writes did not answer.
func (p *probe) isUnanswered() bool {
	return slices.ContainsFunc(p.writes, func(c command) bool { return isUnanswered(c.Err()) })
}
