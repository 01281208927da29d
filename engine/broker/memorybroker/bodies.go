package memorybroker

import (
	"context"

	"github.com/observatory-go/observatory/engine/message"
)

// Bodies implements [consumergroup.Reader].
func (m *membership) Bodies(ctx context.Context, ids []string) (got []message.Delivery, err error) {
	err = m.do(ctx, "read bodies of", func(g *group, _ *consumer) error {
		for _, text := range ids {
			id, err := message.ParseEntryID(text)
			if err != nil {
				return err
			}
			d := message.Delivery{Stream: m.member.Stream, ID: text}
			if e := g.stream.entry(id); e != nil {
				d.Fields = copyFields(e.fields)
			}
			got = append(got, d)
		}
		return nil
	})
	return got, err
}
