package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/sync/errgroup"
)

// consumeWatermill runs that many subscribers of one group, each with defaults
// and with a client of its own, so that none waits for another's connection.
func consumeWatermill(subscribers int) func(context.Context, *round) error {
	return func(ctx context.Context, r *round) error {
		g, ctx := errgroup.WithContext(ctx)
		for i := range subscribers {
			g.Go(func() error { return subscribe(ctx, r, fmt.Sprintf("bench-%d", i)) })
		}
		return g.Wait()
	}
}

func subscribe(ctx context.Context, r *round, consumer string) (err error) {
	// The subscriber closes the client that it was given.
	s, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client:        dial(r.addr, 10),
		Unmarshaller:  wireFormat{},
		Consumer:      consumer,
		ConsumerGroup: r.group,
		// An idle subscriber must be able to stop; the default's first read
		// would wait for ever.
		DisableIndefiniteInitialBlock: true,
	}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	messages, err := s.Subscribe(ctx, r.stream)
	if err != nil {
		return err
	}
	for m := range messages {
		if err := decodeAndHandle(r, m.Payload); err != nil {
			return err
		}
		m.Ack()
	}
	return nil
}

// wireFormat lets watermill read the very same entries: the message is the
// field `data`.
type wireFormat struct{}

func (wireFormat) Unmarshal(values map[string]any) (*message.Message, error) {
	text, ok := values[dataField].(string)
	if !ok {
		return nil, fmt.Errorf("entry has no field %s", dataField)
	}
	return message.NewMessage("", []byte(text)), nil
}
