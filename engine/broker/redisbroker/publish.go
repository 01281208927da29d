package redisbroker

import (
	"context"
	"errors"

	"github.com/observatory-go/observatory/engine/message"
)

// Publish adds an entry of these fields, in their order, to a stream, which it
// creates if need be, and returns the entry's id. Nothing is trimmed. An entry
// without a field is refused, since none is what a deleted entry looks like.
func (b *Broker) Publish(ctx context.Context, stream string, fields ...message.Field) (id string, err error) {
	err = b.do("publish to "+stream, func() error {
		if len(fields) == 0 {
			return errors.New("an entry needs at least one field")
		}
		args := make([]any, 0, 3+2*len(fields))
		args = append(args, "XADD", stream, "*")
		for _, field := range fields {
			args = append(args, field.Name, field.Value)
		}
		return b.retryOnTimeout(func() (err error) {
			add := newCommand(ctx, args...)
			_ = send(ctx, b.commands, add)
			id, err = add.Text()
			return b.explain(ctx, err, stream)
		})
	})
	return id, err
}
