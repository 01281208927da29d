package app

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

//go:embed sample.toml
var sampleConfig []byte

// samplePath stands for the sample's configuration in messages.
const samplePath = "embedded sample"

const (
	sampleStream = "sample::order"
	sampleType   = "Sample.OrderPlaced.v1"

	// Orders come steadily, and every ten seconds a burst of them.
	sampleTick  = 125 * time.Millisecond
	sampleBurst = 20
	burstTicks  = 80

	// sampleMaxLen bounds the memory of a sample that runs for days.
	sampleMaxLen = 20_000
)

// sampleOrder is the payload of the sample's events.
type sampleOrder struct {
	OrderID string `json:"order_id"`
	N       int    `json:"n"`
}

// poisoned orders fail at each call, flaky ones at the first.
func (o sampleOrder) poisoned() bool { return o.N%40 == 3 }
func (o sampleOrder) flaky() bool    { return o.N%25 == 7 }

// sampleHandlers are the handlers of the embedded sample: a quick one, of whose
// messages a few per cent fail, and a slow one.
func sampleHandlers() []handler.Registration {
	return []handler.Registration{
		handler.Events("sample.OrderMailer", sampleStream, handler.On(sampleType, mailOrder)),
		handler.Events("sample.OrderReport", sampleStream, handler.On(sampleType, reportOrder)),
	}
}

func mailOrder(ctx context.Context, o sampleOrder, m *message.Envelope) error {
	if err := work(ctx, time.Duration(o.N%8)*3*time.Millisecond); err != nil {
		return err
	}
	switch {
	case o.poisoned():
		return fmt.Errorf("no address for order %s", o.OrderID)
	case o.flaky() && m.Source.Attempt == 1:
		return errors.New("mail server is busy")
	}
	return nil
}

func reportOrder(ctx context.Context, o sampleOrder, _ *message.Envelope) error {
	return work(ctx, time.Duration(50+o.N%9*10)*time.Millisecond)
}

func work(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// sampleTraffic publishes orders until ctx ends.
func sampleTraffic(ctx context.Context, broker *memorybroker.Broker) error {
	ticker := time.NewTicker(sampleTick)
	defer ticker.Stop()
	n := 0
	for tick := 0; ; tick++ {
		count := 1
		if tick%burstTicks == 10 {
			count = sampleBurst
		}
		for range count {
			n++
			if err := publishOrder(ctx, broker, n); err != nil {
				return ignoreEnd(ctx, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// publishOrder adds one event; now and then it is cut off, as a broken producer
// would leave it.
func publishOrder(ctx context.Context, broker *memorybroker.Broker, n int) error {
	id := fmt.Sprintf("o%d", n)
	data, err := json.Marshal(sampleOrder{OrderID: id, N: n})
	if err != nil {
		return err
	}
	e, err := message.New(message.KindEvent, message.Headers{
		ID: sampleStream + "-" + id + "-0.1", Type: sampleType, Stream: sampleStream + "-" + id, Time: time.Now(),
	}, data)
	if err != nil {
		return err
	}
	text, err := e.Encode()
	if err != nil {
		return err
	}
	if n%150 == 12 {
		text = text[:len(text)/2]
	}
	_, err = broker.Publish(ctx, sampleStream, message.Field{Name: message.DataField, Value: text})
	return err
}

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return fmt.Errorf("sample traffic: %w", err)
	}
	return nil
}
