package redisbroker

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/observatory-go/observatory/engine/message"
)

// reader is a cursor over the bytes of one reply in Redis' protocol, version 2.
// What it returns shares the reply's memory, which go-redis makes anew for each.
type reader struct {
	buf []byte
	pos int
}

// The smallest texts of an entry and of a field, which bound what a length in a
// reply may make us allocate.
const (
	minEntry = len("*2\r\n$3\r\n1-1\r\n*-1\r\n")
	minField = len("$0\r\n\r\n$0\r\n\r\n")
)

// parseRead reads the reply of an XREADGROUP on one stream. A reply without
// entries gives none.
func parseRead(stream string, buf []byte) ([]message.Delivery, error) {
	r := &reader{buf: buf}
	streams, err := r.array()
	if err != nil || streams < 1 {
		return nil, err
	}
	if err := r.expect(2); err != nil {
		return nil, err
	}
	if _, err := r.bulk(); err != nil {
		return nil, err
	}
	return r.entries(stream)
}

// parseHeads reads the last id that the reply of an XREAD has of each stream.
func parseHeads(buf []byte) (map[string]message.EntryID, error) {
	r := &reader{buf: buf}
	streams, err := r.array()
	if err != nil {
		return nil, err
	}
	heads := make(map[string]message.EntryID)
	for range streams {
		if err := r.expect(2); err != nil {
			return nil, err
		}
		name, err := r.bulk()
		if err != nil {
			return nil, err
		}
		entries, err := r.entries("")
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if heads[string(name)], err = message.ParseEntryID(e.ID); err != nil {
				return nil, err
			}
		}
	}
	return heads, nil
}

// parseRange reads the reply of an XRANGE.
func parseRange(stream string, buf []byte) ([]message.Delivery, error) {
	r := &reader{buf: buf}
	return r.entries(stream)
}

// parsePending reads the reply of an XPENDING that lists entries. They have no
// fields yet.
func parsePending(stream string, buf []byte) ([]message.Delivery, error) {
	r := &reader{buf: buf}
	n, err := r.array()
	if err != nil || n < 1 {
		return nil, err
	}
	got := make([]message.Delivery, 0, min(n, len(buf)/minEntry))
	for range n {
		if err := r.expect(4); err != nil {
			return nil, err
		}
		id, err := r.bulk()
		if err != nil {
			return nil, err
		}
		if _, err := r.bulk(); err != nil { // the consumer
			return nil, err
		}
		if _, err := r.line(':'); err != nil { // its idle time
			return nil, err
		}
		count, err := r.line(':')
		if err != nil {
			return nil, err
		}
		got = append(got, message.Delivery{Stream: stream, ID: string(id), Attempts: attemptsOf(count)})
	}
	return got, nil
}

// entries reads an array of entries, their fields side by side in one array.
func (r *reader) entries(stream string) ([]message.Delivery, error) {
	n, err := r.array()
	if err != nil || n < 1 {
		return nil, err
	}
	got := make([]message.Delivery, 0, min(n, len(r.buf)/minEntry))
	backing := make([]message.Field, 0, cap(got))
	for range n {
		if err := r.expect(2); err != nil {
			return nil, err
		}
		id, err := r.bulk()
		if err != nil {
			return nil, err
		}
		d := message.Delivery{Stream: stream, ID: string(id)}
		if d.Fields, backing, err = r.fields(backing); err != nil {
			return nil, err
		}
		got = append(got, d)
	}
	return got, nil
}

// fields reads names and values into backing and returns their part of it. The
// fields of an entry whose body is gone are nil.
func (r *reader) fields(backing []message.Field) (got, grown []message.Field, err error) {
	n, err := r.array()
	if err != nil || n < 1 {
		return nil, backing, err
	}
	if n%2 != 0 {
		return nil, backing, r.unreadable("an even number of names and values")
	}
	if free := cap(backing) - len(backing); free < n/2 {
		backing = make([]message.Field, 0, max(cap(backing), min(n/2, len(r.buf)/minField)))
	}
	start := len(backing)
	for range n / 2 {
		name, err := r.bulk()
		if err != nil {
			return nil, backing, err
		}
		value, err := r.bulk()
		if err != nil {
			return nil, backing, err
		}
		backing = append(backing, message.Field{Name: fieldName(name), Value: value})
	}
	return backing[start:len(backing):len(backing)], backing, nil
}

// fieldName returns the usual name without an allocation.
func fieldName(name []byte) string {
	if string(name) == message.DataField {
		return message.DataField
	}
	return string(name)
}

// array reads an array's length; nil counts as empty.
func (r *reader) array() (int, error) {
	n, err := r.line('*')
	return max(n, 0), err
}

// expect reads an array's length, which must be n.
func (r *reader) expect(n int) error {
	got, err := r.array()
	if err == nil && got != n {
		return r.unreadable("an array of " + strconv.Itoa(n))
	}
	return err
}

// bulk reads a string, clipped so that appending to it leaves its neighbour
// alone.
func (r *reader) bulk() ([]byte, error) {
	n, err := r.line('$')
	if err != nil {
		return nil, err
	}
	end := r.pos + n
	if n < 0 || n > len(r.buf)-r.pos-2 || r.buf[end] != '\r' || r.buf[end+1] != '\n' {
		return nil, r.unreadable("a string")
	}
	value := r.buf[r.pos:end:end]
	r.pos = end + 2
	return value, nil
}

// line reads a line of this kind, which holds a number. An error reply is an
// error, wherever it stands.
func (r *reader) line(kind byte) (int, error) {
	rest := r.buf[r.pos:]
	end := bytes.Index(rest, []byte("\r\n"))
	if end < 1 {
		return 0, r.unreadable("a line")
	}
	if rest[0] == '-' {
		return 0, serverError(rest[1:end])
	}
	n, err := strconv.Atoi(string(rest[1:end]))
	if rest[0] != kind || err != nil {
		return 0, r.unreadable(fmt.Sprintf("%q and a number", kind))
	}
	r.pos += end + 2
	return n, nil
}

// unreadable does not quote the reply: it holds data of messages.
func (r *reader) unreadable(expected string) error {
	return fmt.Errorf("cannot read the server's reply: expected %s at byte %d of %d", expected, r.pos, len(r.buf))
}
