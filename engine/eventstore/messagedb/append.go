package messagedb

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/engine/message"
)

const writeMessage = "SELECT write_message($1, $2, $3, $4::jsonb, $5::jsonb, $6)"

// Append adds a message to the stream that its headers name, and returns its
// position there, from 0. Where its metadata expect a version and the stream has
// another the error is an *[eventstore.ExpectedVersionError]. The id of the row is
// made up, as Protean does: a message that is appended twice is there twice.
func (s *Store) Append(ctx context.Context, e message.Envelope) (position int64, err error) {
	r, err := e.Record()
	if err != nil {
		return 0, fmt.Errorf("event store: %w", err)
	}
	s.writes.Store(true)
	err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, writeMessage, newID(), r.Stream, r.Type, string(r.Data), string(r.Metadata), e.Metadata.Domain.ExpectedVersion).Scan(&position)
	})
	if err != nil {
		return 0, conflict(err)
	}
	s.poller.poke()
	return position, nil
}

// newID is a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
