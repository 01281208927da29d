package operate_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/operate"
)

// L47 of the reference: there a purge deleted the queue, with what came into it while
// it was counted.
func TestWhatComesIntoAQueueDuringAPurgeStays(t *testing.T) {
	t.Parallel()
	b := memorybroker.New()
	add := func(id string) {
		require.NoError(t, b.AddDeadLetters(t.Context(), "shop::order", [][]message.Field{{{Name: message.DataField, Value: []byte(`{"id": "` + id + `"}`)}}}))
	}
	add("first")
	add("second")
	catalog := func() ([]operate.Subscription, error) {
		return []operate.Subscription{{Handler: "shop.Mailer", Stream: "shop::order", Group: "shop.Mailer", Type: "stream", Broker: "default"}}, nil
	}
	var export bytes.Buffer
	deleted, err := operate.NewDeadLetters(catalog, map[string]deadletter.Queue{"default": b}, "ann@ops", slog.New(slog.DiscardHandler)).
		Purge(t.Context(), operate.Query{}, &export, func() error { add("meanwhile"); return nil })
	require.NoError(t, err)
	require.Equal(t, 2, deleted)
	require.Equal(t, 2, strings.Count(export.String(), "\n"))
	left, err := b.DeadLetters(t.Context(), "shop::order", deadletter.Page{Max: 9})
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Contains(t, string(left[0].Fields[0].Value), "meanwhile")
}
