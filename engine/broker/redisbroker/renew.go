package redisbroker

import (
	"context"
	"slices"

	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// Renew implements [consumergroup.Renewer].
func (m *membership) Renew(ctx context.Context, entries []consumergroup.Entry) (lost []string, err error) {
	err = m.do(ctx, "renew on", func() error {
		var dropped []consumergroup.Entry
		if dropped, lost, err = m.renew(ctx, entries); err != nil {
			return err
		}
		// The last are claimed first. The other way round, an error between two
		// batches would leave some that are owned before some that are not, and
		// the next renewal would take the latter for lost.
		for end := len(dropped); end > 0; end -= min(end, maxBodies) {
			batch := dropped[max(end-maxBodies, 0):end]
			more, err := m.settle(ctx, claimDroppedScript, batch)
			if err != nil {
				return err
			}
			lost = append(lost, more...)
		}
		return nil
	})
	return lost, err
}

// renew renews what is still owned. Dropped are the entries that no consumer has
// pending and that precede all that are still owned; lost is the rest but for what
// may be settled.
func (m *membership) renew(ctx context.Context, entries []consumergroup.Entry) (dropped []consumergroup.Entry, lost []string, err error) {
	owned := false
	for batch := range slices.Chunk(entries, maxBodies) { // the script may have to read them
		args := make([]any, 0, 2+len(batch))
		args = append(args, m.member.Group, m.member.Consumer)
		for _, entry := range batch {
			args = append(args, entry.ID)
		}
		result, err := m.broker.run(ctx, renewScript, []string{m.member.Stream}, args...)
		if err != nil {
			return nil, lost, err
		}
		owners, err := result.Text()
		if err != nil || len(owners) != len(batch) {
			return nil, lost, unexpectedReply("the script that renews")
		}
		for i, entry := range batch {
			switch {
			case owners[i] == 'm':
				owned = true
			case owners[i] == 'n' && entry.MayBeSettled:
			case owners[i] == 'n' && !owned:
				dropped = append(dropped, entry)
			default:
				lost = append(lost, entry.ID)
			}
		}
	}
	return dropped, lost, nil
}
