package redisbroker

import (
	"context"
	"strconv"
	"time"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// goneAfter is for how long a consumer with nothing pending is idle before it is
// deleted. One that lives all the same is made again by its next read.
const goneAfter = time.Hour

// Heartbeat implements [consumergroup.Successor].
func (m *membership) Heartbeat(ctx context.Context) (others []consumergroup.Consumer, err error) {
	err = m.do(ctx, "show life on", func() error {
		result, err := m.broker.run(ctx, heartbeatScript, []string{m.member.Stream},
			m.member.Group, m.member.Consumer, Released, m.broker.goneAfter.Milliseconds(), max(3*m.member.HeartbeatEvery, time.Minute).Milliseconds())
		if err != nil {
			return err
		}
		texts, err := result.StringSlice()
		if err != nil || len(texts)%3 != 0 {
			return unexpectedReply("the script that shows life")
		}
		for i := 0; i < len(texts); i += 3 {
			pending, err := strconv.Atoi(texts[i+1])
			if err != nil {
				return unexpectedReply("the script that shows life")
			}
			idle, err := strconv.ParseInt(texts[i+2], 10, 64)
			if err != nil {
				return unexpectedReply("the script that shows life")
			}
			others = append(others, consumergroup.Consumer{
				Name: texts[i], Pending: pending, Idle: time.Duration(idle) * time.Millisecond,
			})
		}
		return nil
	})
	return others, err
}

// TakeOver implements [consumergroup.Successor]. Entries are claimed first and
// their bodies read second, as in ClaimReleased.
func (m *membership) TakeOver(ctx context.Context, from consumergroup.Consumer, idle time.Duration) (got []message.Delivery, err error) {
	err = m.do(ctx, "take over entries of", func() error {
		result, err := m.broker.run(ctx, takeOverScript, []string{m.member.Stream},
			m.member.Group, m.member.Consumer, from.Name, from.Pending, idle.Milliseconds())
		if err != nil {
			return err
		}
		texts, err := result.StringSlice()
		if err != nil || len(texts)%2 != 0 {
			return unexpectedReply("the script that takes over")
		}
		for i := 0; i < len(texts); i += 2 {
			got = append(got, message.Delivery{Stream: m.member.Stream, ID: texts[i], Attempts: deliveryCount(texts[i+1])})
		}
		return m.readBodies(ctx, got)
	})
	if err != nil {
		return nil, err
	}
	return got, nil
}

// Leave implements [consumergroup.Successor].
func (m *membership) Leave(ctx context.Context) error {
	return m.do(ctx, "leave", func() error {
		_, err := m.broker.run(ctx, leaveScript, []string{m.member.Stream}, m.member.Group, m.member.Consumer)
		return err
	})
}
