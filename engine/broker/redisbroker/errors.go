package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// serverError is an error reply that was read as bytes.
type serverError string

func (e serverError) Error() string { return string(e) }

// RedisError marks it as the server's, as go-redis' own are.
func (serverError) RedisError() {}

// hasCode reports whether the server refused with this code. In an error of a script
// on Redis 6.2 the code stands in the middle.
func hasCode(err error, code string) bool {
	var refusal redis.Error
	return errors.As(err, &refusal) && strings.Contains(refusal.Error(), code)
}

// isUnanswered reports whether the server did not answer, though the caller waited
// for it.
func isUnanswered(err error) bool {
	var reply redis.Error
	return err != nil && !errors.As(err, &reply) && !errors.Is(err, context.Canceled) && !errors.Is(err, redis.ErrClosed)
}

// clarify says what an operator can do about an error that does not.
func (b *Broker) clarify(err error) error {
	switch {
	case b.isClosing(), errors.Is(err, redis.ErrClosed):
		return broker.ErrClosed
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the server closed the connection: %w", err)
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return fmt.Errorf("all of max_connections (%d) are in use, raise it: %w", b.config.MaxConnections, err)
	}
	return err
}

// explain says which key an error about a key's type is about, and what it
// means that a group does not exist.
func (b *Broker) explain(ctx context.Context, err error, keys ...string) error {
	switch {
	case err == nil, errors.Is(err, consumergroup.ErrNoGroup), errors.Is(err, broker.ErrWrongType):
		return err
	case hasCode(err, "NOGROUP"), hasCode(err, "no such key"):
		return fmt.Errorf("%w: it was destroyed, or its stream was deleted or replaced: %w", consumergroup.ErrNoGroup, err)
	case !hasCode(err, "WRONGTYPE"):
		return err
	}
	for _, key := range keys {
		held, typeErr := b.commands.Type(ctx, key).Result()
		if typeErr == nil && held != "stream" && held != "none" {
			return fmt.Errorf("key %q holds a %s: rename or delete that key, or give the stream another name: %w",
				key, held, broker.ErrWrongType)
		}
	}
	return fmt.Errorf("one of the keys %q: %w", keys, broker.ErrWrongType)
}
