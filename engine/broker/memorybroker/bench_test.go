package memorybroker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// BenchmarkReadAck reads and acknowledges 100 entries a turn; one operation is
// one entry.
func BenchmarkReadAck(b *testing.B) {
	broker := memorybroker.New()
	field := message.Field{Name: "data", Value: make([]byte, 600)}
	for range b.N {
		_, err := broker.Publish(b.Context(), "s", field)
		require.NoError(b, err)
	}
	s, err := broker.Join(b.Context(), consumergroup.Member{Stream: "s", Group: "g", Consumer: "c"})
	require.NoError(b, err)
	b.ReportAllocs()
	acks := make([]string, 0, 100)
	for b.ResetTimer(); ; {
		got, _, err := s.Read(b.Context(), consumergroup.Read{Max: 100, Acks: acks})
		if err != nil || len(got) == 0 {
			require.NoError(b, err)
			return
		}
		acks = acks[:0]
		for _, d := range got {
			acks = append(acks, d.ID)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	broker := memorybroker.New(memorybroker.WithMaxLen(10_000))
	field := message.Field{Name: "data", Value: make([]byte, 600)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := broker.Publish(b.Context(), "s", field); err != nil {
			b.Fatal(err)
		}
	}
}
