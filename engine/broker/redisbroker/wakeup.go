package redisbroker

import (
	"context"
	"errors"
	"hash/fnv"
	"maps"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/retry"
)

// wakeups is where members wait that have no connection of their own to wait on: a
// broker has a few, each for a part of the streams. One plain XREAD waits on the
// streams of all of them, and where one has grown its members read their groups. A plain read delivers nothing, so that what it returns
// is lost to no group. On a Cluster, where no command can name streams of two
// nodes, one pipeline asks for all streams every maxPause.
//
// No entry is missed: a member notes a stream's head before a read of its group that
// finds nothing, and the XREAD begins after a head that is no higher, or the head was
// raised meanwhile, which wakes the member.
type wakeups struct {
	broker *Broker
	loop   sync.WaitGroup

	// interrupt has the XREAD under way begin again with a stream that is not in it.
	interrupt chan struct{}

	mu      sync.Mutex
	running bool
	closed  bool
	streams map[string]*watched
}

// watched is a stream that members wait on, or did a moment ago.
type watched struct {
	// head is an id that the stream had, mostly its last.
	head    message.EntryID
	changed chan struct{} // closed when its members are to read
	waiting int           // members that wait
	left    time.Time     // when the last member left
	// returned is set while the last XREAD returned the stream and no member waited:
	// one that is read all the time is left out.
	returned bool
	asked    bool // it is in the XREAD under way
	// refused is until when the stream is left out of the XREAD, which the server
	// refuses for this one.
	refused time.Time
}

const (
	// watchedFor is for how long a stream stays in the XREAD that no member waits
	// on: it costs less than to begin the XREAD again.
	watchedFor = 3 * time.Second
	// refusedFor is how long a stream is left out that the XREAD is refused for.
	refusedFor = time.Second
	// settleTime is the pause before the next XREAD in which the members that were
	// woken read: behind it they would wait for the server.
	settleTime = time.Millisecond
	// perStream is the time for each stream that passes from one XREAD to the next at
	// least: the server's work for it is about a sixth.
	perStream = 4 * time.Microsecond
)

// wakingPart is what part of the connections of reads that wait is for wake-ups:
// to end a wait takes the server as long as the wait has streams.
const wakingPart = 4

// wakeupsOf are those that a stream belongs to.
func (b *Broker) wakeupsOf(stream string) *wakeups {
	h := fnv.New32a()
	_, _ = h.Write([]byte(stream))
	return b.wakeups[h.Sum32()%uint32(len(b.wakeups))]
}

func newWakeups(b *Broker) *wakeups {
	return &wakeups{broker: b, streams: make(map[string]*watched), interrupt: make(chan struct{}, 1)}
}

// head is the stream's head, where it is known.
func (w *wakeups) head(stream string) (head message.EntryID, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.streams[stream]
	if s == nil {
		return message.EntryID{}, false
	}
	return s.head, true
}

// setHead sets the head of a stream that is watched to an id that it had. Members
// are woken where that is higher than before, and the XREAD goes on from there.
func (w *wakeups) setHead(stream string, head message.EntryID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.streams[stream]; s != nil {
		s.setHead(head)
	}
}

// raiseHead is setHead for an id that may be lower than the head.
func (w *wakeups) raiseHead(stream string, head message.EntryID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.streams[stream]; s != nil && head.Compare(s.head) > 0 {
		s.setHead(head)
	}
}

func (s *watched) setHead(head message.EntryID) {
	if head.Compare(s.head) > 0 {
		s.wake()
	}
	s.head = head
}

func (s *watched) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait waits until the stream may have entries after head, which woken reports,
// until attention, the end of ctx, or for d.
func (w *wakeups) wait(ctx context.Context, stream string, head message.EntryID, d time.Duration, attention <-chan struct{}) (woken bool) {
	w.mu.Lock()
	s := w.streams[stream]
	if s == nil {
		s = &watched{head: head, changed: make(chan struct{})}
		w.streams[stream] = s
	}
	if w.closed || s.head.Compare(head) > 0 {
		w.mu.Unlock()
		return true
	}
	changed := s.changed
	s.waiting++
	s.returned = false
	if !w.running {
		w.running = true
		w.loop.Go(w.run)
	}
	// What the XREAD is refused for is polled by each member.
	poll := time.Now().Before(s.refused)
	if !poll && !s.asked {
		signal(w.interrupt)
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		s.waiting--
		s.left = time.Now()
	}()

	if poll {
		d = min(d, maxPause)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
		return true
	case <-timer.C:
		return poll
	case <-attention:
	case <-ctx.Done():
	case <-w.broker.closing:
	}
	return false
}

// run waits on all streams, again and again, until there are none.
func (w *wakeups) run() {
	ctx, cancel := w.broker.whileOpen()
	defer cancel()
	var conn *waitingConn
	defer func() { conn.close() }()
	for {
		asked := w.begin()
		if asked == nil {
			return
		}
		if w.broker.shared == nil {
			w.poll(ctx, asked)
			retry.Sleep(ctx, maxPause)
			continue
		}
		if conn == nil {
			conn = w.connect(ctx)
		}
		began := time.Now()
		err := w.waitOnServer(ctx, conn, asked)
		var refusal redis.Error
		switch {
		case err == nil:
			retry.Sleep(ctx, settleTime)
		case errors.As(err, &refusal):
			w.poll(ctx, asked)
		default:
			// Each member finds out by itself what is wrong.
			conn.close()
			conn = nil
			w.wakeAll()
			retry.Sleep(ctx, maxPause)
		}
		retry.Sleep(ctx, pace(len(asked))-time.Since(began))
	}
}

// pace is the least time from one XREAD of so many streams to the next.
func pace(streams int) time.Duration { return time.Duration(streams) * perStream }

// begin returns the heads of the streams to wait on; nil where none is watched,
// and the loop ends.
func (w *wakeups) begin() map[string]message.EntryID {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.interrupt:
	default:
	}
	now := time.Now()
	asked := make(map[string]message.EntryID, len(w.streams))
	for name, s := range w.streams {
		if s.waiting == 0 && now.Sub(s.left) > watchedFor {
			delete(w.streams, name)
			continue
		}
		if s.asked = now.After(s.refused) && !s.returned; s.asked {
			asked[name] = s.head
		}
	}
	if len(w.streams) == 0 || w.closed {
		w.running = false
		return nil
	}
	return asked
}

// end takes an entry of each stream that has grown: the first that is new.
func (w *wakeups) end(grown map[string]message.EntryID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, head := range grown {
		s := w.streams[name]
		if s == nil {
			continue // the server renamed it in its reply
		}
		s.returned = s.waiting == 0
		if head.Compare(s.head) > 0 {
			s.head = head
		}
		s.wake()
	}
}

func (w *wakeups) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.streams {
		s.wake()
	}
}

// refuse has the members of a stream read by themselves for a while.
func (w *wakeups) refuse(stream string, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.streams[stream]; s != nil {
		s.refused = time.Now().Add(d)
		s.wake()
	}
}

// close ends the loop, whose connection is closed by then, and waits for it.
func (w *wakeups) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.loop.Wait()
}

// waitingConn is the connection on which the XREAD waits.
type waitingConn struct {
	*redis.Conn
	id int64 // by which another connection ends the wait; 0: it cannot
}

func (c *waitingConn) close() {
	if c != nil {
		_ = c.Close()
	}
}

// connect makes the connection. A user may be denied CLIENT ID, and the XREAD then
// waits its time.
func (w *wakeups) connect(ctx context.Context) *waitingConn {
	c := &waitingConn{Conn: w.broker.shared.Conn()}
	c.id, _ = c.ClientID(ctx).Result()
	return c
}

// waitOnServer waits until streams have grown, and wakes their members. It returns
// early where a stream is to be added.
func (w *wakeups) waitOnServer(ctx context.Context, conn *waitingConn, asked map[string]message.EntryID) error {
	if len(asked) == 0 { // all are read all the time, or refused
		select {
		case <-w.interrupt:
		case <-ctx.Done():
		case <-time.After(maxPause):
		}
		return nil
	}
	args := append(make([]any, 0, 6+2*len(asked)), "XREAD", "COUNT", 1, "BLOCK", maxBlock.Milliseconds(), "STREAMS")
	names := make([]string, 0, len(asked))
	longest := 0
	for name := range asked {
		names = append(names, name)
		args = append(args, name)
		longest = max(longest, len(name))
	}
	for _, name := range names {
		args = append(args, asked[name].String())
	}
	read := newShortTextsCommand(ctx, longest, args...)
	done := make(chan error, 1)
	go func() {
		err := conn.Process(ctx, read)
		if err == nil {
			var grown map[string]message.EntryID
			if grown, err = parseHeads(read.reply.bytes); err == nil {
				w.end(grown)
			}
		}
		done <- err
	}()
	interrupt := w.interrupt
	var due <-chan time.Time
	began := time.Now()
	for {
		select {
		case err := <-done:
			return err
		case <-interrupt:
			interrupt = nil
			due = time.After(max(pace(len(asked))-time.Since(began), 0))
		case <-due:
			due = time.After(settleTime) // it may not have begun to wait
			unblock := newCommand(ctx, "CLIENT", "UNBLOCK", conn.id)
			if conn.id == 0 || send(ctx, w.broker.commands, unblock) != nil {
				due = nil
			}
		}
	}
}

// poll asks for each stream by itself, in one pipeline. What is refused for one
// of them is then read by its members, who are told why.
func (w *wakeups) poll(ctx context.Context, asked map[string]message.EntryID) {
	if len(asked) == 0 {
		return
	}
	pipe := w.broker.commands.Pipeline()
	reads := make(map[string]rawCommand, len(asked))
	for name, head := range asked {
		reads[name] = newShortTextsCommand(ctx, len(name), "XREAD", "COUNT", 1, "STREAMS", name, head.String())
		_ = pipe.Process(ctx, reads[name])
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	grown := make(map[string]message.EntryID)
	for name, read := range reads {
		buf, err := reply(ctx, w.broker.commands, read)
		var heads map[string]message.EntryID
		if err == nil {
			heads, err = parseHeads(buf)
		}
		if err != nil {
			w.refuse(name, refusedFor)
		}
		maps.Copy(grown, heads)
	}
	w.end(grown)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
