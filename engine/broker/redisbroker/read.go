package redisbroker

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

const (
	// maxBlock is the longest that one read waits on the server: go-redis does
	// not interrupt a wait when its context ends.
	maxBlock = time.Second
	// maxExpected bounds the memory that is taken for a reply before it has come.
	maxExpected = 1 << 20
	// maxPause is the time from one poll to the next of streams on which no command
	// can wait.
	maxPause = 100 * time.Millisecond
	// busyWithin is the longest time between the reads of a member that is busy.
	busyWithin = time.Second
	// readAgainAfter is when a read is tried although there was no wake-up: where the
	// ids of a stream began anew, there is none.
	readAgainAfter = 20 * time.Second
)

// Read implements [consumergroup.Reader]. The values of the fields share one
// buffer for all that a read returns.
func (m *membership) Read(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	err = m.do(ctx, "read", func() error {
		got, acked, err = m.read(ctx, r)
		if hasCode(err, "UNBLOCKED") {
			// The key was deleted, or has moved to another node, while the read
			// waited; reading again tells which. What was to be acknowledged is.
			got, _, err = m.readNow(ctx, consumergroup.Read{Max: r.Max})
		}
		return err
	})
	return got, acked, err
}

func (m *membership) read(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	if r.Max < 1 {
		err = m.ack(ctx, r.Acks)
		return nil, err == nil, err
	}
	if r.Block <= 0 {
		return m.readNow(ctx, r)
	}
	if m.takeSlot() {
		r.Block = m.broker.released.wait(r.Block)
		got, acked, err = m.readUntilDone(ctx, r)
	} else {
		got, acked, err = m.readWhenWoken(ctx, r)
	}
	if len(got) > 0 {
		now := time.Now().UnixNano()
		m.busy.Store(now-m.lastGot.Swap(now) < int64(busyWithin))
	} else {
		m.busy.Store(false)
	}
	return got, acked, err
}

// takeSlot takes a connection to wait on. The connections are those of the members
// that got entries most often: one that did not leaves its own where another lacks
// one, and then waits for a wake-up until it does.
func (m *membership) takeSlot() bool {
	busy := m.busy.Load()
	if !busy && (m.shares.Load() || m.broker.wanted.CompareAndSwap(true, false)) {
		m.shares.Store(true)
		return false
	}
	select {
	case m.broker.slots <- struct{}{}:
		m.shares.Store(false)
		return true
	default:
		m.shares.Store(true)
		if busy {
			m.broker.wanted.Store(true)
		}
		return false
	}
}

// silence is how much longer than it asked a waiting read may take once ctx has
// ended: its connection is silent then, and a stop does not wait for the socket's
// time-out.
const silence = 500 * time.Millisecond

// readUntilDone waits for entries, in a slot that it gives back. go-redis does not
// interrupt a read under way, which is therefore left behind where it has to be;
// what it delivers is found by a listing.
func (m *membership) readUntilDone(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	read := make(chan struct{})
	var late struct {
		got   []message.Delivery
		acked bool
		err   error
	}
	go func() {
		defer close(read)
		defer func() { <-m.broker.slots }()
		late.got, late.acked, late.err = m.readWaiting(ctx, r)
	}()
	select {
	case <-read:
		return late.got, late.acked, late.err
	case <-ctx.Done():
	}
	limit := time.NewTimer(min(r.Block, maxBlock) + silence)
	defer limit.Stop()
	select {
	case <-read:
		return late.got, late.acked, late.err
	case <-limit.C:
		return nil, false, ctx.Err()
	}
}

// readNow acknowledges and reads in one round trip.
func (m *membership) readNow(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	read := newRawCommand(ctx, int(m.lastReply.Load()), m.readArgs(r.Max, 0)...)
	if len(r.Acks) == 0 {
		_ = m.broker.commands.Process(ctx, read)
		got, err = m.readReply(ctx, m.broker.commands, read)
		return got, true, err
	}
	pipe := m.broker.commands.Pipeline()
	acks := m.ackCommands(ctx, r.Acks)
	enqueue(ctx, pipe, acks)
	_ = pipe.Process(ctx, read)
	_, _ = pipe.Exec(ctx) // each command has its own error
	_, ackErr := sum(acks)
	got, err = m.readReply(ctx, m.broker.commands, read)
	if err == nil {
		err = ackErr
	}
	return got, ackErr == nil, err
}

// readWaiting acknowledges, then waits for entries on the server. The two cannot
// share a round trip: the acknowledgement's reply would wait too.
func (m *membership) readWaiting(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	if err := m.ack(ctx, r.Acks); err != nil {
		return nil, false, err
	}
	read := newRawCommand(ctx, int(m.lastReply.Load()), m.readArgs(r.Max, min(r.Block, maxBlock))...)
	_ = m.broker.blocking.Process(ctx, read)
	got, err = m.readReply(ctx, m.broker.blocking, read)
	return got, true, err
}

// readWhenWoken reads without waiting on the server. Where nothing came, it waits
// for a wake-up and reads again.
func (m *membership) readWhenWoken(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	w, stream := m.wakeups, m.member.Stream
	head, known := w.head(stream)
	if !known || m.empty.Load() == nil {
		// A group that starts before the head, or a stream that began anew, has the
		// XREAD begin where the group is.
		if head, _, err = m.position(ctx); err != nil {
			return nil, false, err
		}
		w.setHead(stream, head)
	}
	before := m.empty.Load()
	if len(r.Acks) == 0 && before != nil && before.head == head && time.Since(before.at) < readAgainAfter {
		acked = true
	} else {
		got, acked, err = m.readNow(ctx, r)
		if err != nil {
			return got, acked, err
		}
		if len(got) > 0 {
			if before != nil && before.head == head {
				m.empty.Store(nil) // there was no wake-up: the head is wrong
			} else {
				m.raiseHead(got)
			}
			return got, acked, nil
		}
		m.empty.Store(&emptyRead{head, time.Now()})
	}
	if !w.wait(ctx, stream, head, r.Block, m.attention) {
		return nil, acked, nil
	}
	if got, _, err = m.readNow(ctx, consumergroup.Read{Max: r.Max}); err != nil {
		return got, acked, err
	}
	if len(got) > 0 {
		m.raiseHead(got)
		return got, acked, nil
	}
	// Another consumer was faster, or another group was meant.
	position, _, err := m.position(ctx)
	if err == nil {
		w.raiseHead(stream, position)
	}
	return nil, acked, err
}

// emptyRead is a read of the group that found nothing.
type emptyRead struct {
	head message.EntryID // of the stream, before it
	at   time.Time
}

func (m *membership) raiseHead(got []message.Delivery) {
	if last, err := message.ParseEntryID(got[len(got)-1].ID); err == nil {
		m.wakeups.raiseHead(m.member.Stream, last)
	}
}

// readArgs waits where block is positive. BLOCK counts whole milliseconds, and
// zero means for ever.
func (m *membership) readArgs(n int, block time.Duration) []any {
	args := make([]any, 0, 11)
	args = append(args, "XREADGROUP", "GROUP", m.member.Group, m.member.Consumer, "COUNT", n)
	if block > 0 {
		args = append(args, "BLOCK", max(block.Milliseconds(), 1))
	}
	return append(args, "STREAMS", m.member.Stream, ">")
}

func (m *membership) readReply(ctx context.Context, from redis.UniversalClient, read rawCommand) ([]message.Delivery, error) {
	buf, err := reply(ctx, from, read)
	if err != nil {
		return nil, err
	}
	m.lastReply.Store(int64(min(len(buf), maxExpected)))
	got, err := parseRead(m.member.Stream, buf)
	if hasCode(err, "READONLY") {
		leaveReplica(ctx, from, m.member.Stream)
	}
	return got, err
}

// leaveReplica ends a connection to what has become a replica, so that the next
// finds the new master. go-redis does so by itself where it gets that answer to a
// single command whose reply it parses, so it is given one: of a command that
// changes nothing, most likely on the connection that was just given back.
func leaveReplica(ctx context.Context, client redis.UniversalClient, key string) {
	_ = send(ctx, client, newCommand(ctx, "XACK", key, probeGroup, "0-0"))
}
