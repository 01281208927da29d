package deliver

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/observatory-go/observatory/engine/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shop = "urn:protean:golden_shop"

// order is a message with every attribute set.
func order() *message.Envelope {
	m := &message.Envelope{Data: json.RawMessage(`{"total": 42.0, "note": "\u00e9 <b>"}`)}
	m.Source = message.Source{Stream: "shop::order", ID: "1700000000000-3", Attempt: 1}
	m.Metadata.Headers = message.Headers{
		ID: "shop::order-o1-0.1", Type: "Shop.OrderPlaced.v1", Stream: "shop::order-o1",
		Time:        time.Date(2026, 3, 2, 10, 30, 0, 125_000_000, time.UTC),
		TraceParent: message.TraceParent{TraceID: "3b8a43066bea786df9bc8d42c7ffedb0", ParentID: "391354031d98a357", Sampled: true},
	}
	m.Metadata.Integrity.Checksum = "4f335799045c5b0a002a7c0a4b56f6b3bd95117088bce877fb8f9b20a2575efc"
	m.Metadata.Domain = message.Domain{Kind: message.KindEvent, SequenceID: "0.1", CorrelationID: "corr", CausationID: "cause"}
	return m
}

// long is a message that is too long to be posted directly.
func long() *message.Envelope {
	m := order()
	m.Data = text(maxDirect)
	return m
}

// bothWays are messages of which one is posted directly and one by net/http.
func bothWays() map[string]*message.Envelope {
	return map[string]*message.Envelope{"directly": order(), "by net/http": long()}
}

// fixtures are messages that a real Protean wrote, by type.
func fixtures(t *testing.T) map[string]*message.Envelope {
	t.Helper()
	f, err := os.Open("testdata/messages.jsonl")
	require.NoError(t, err)
	defer f.Close()
	all := map[string]*message.Envelope{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		m := fixture(t, lines.Bytes())
		all[m.Metadata.Headers.Type] = m
	}
	require.Len(t, all, 5)
	return all
}

func fixture(t *testing.T, line []byte) *message.Envelope {
	t.Helper()
	var entry struct {
		Stream, ID string
		Fields     struct{ Data string }
	}
	require.NoError(t, json.Unmarshal(line, &entry))
	var wire struct {
		Data     json.RawMessage
		Metadata struct {
			Headers struct {
				ID, Type, Stream string
				Time             time.Time
				TraceParent      *struct {
					TraceID  string `json:"trace_id"`
					ParentID string `json:"parent_id"`
					Sampled  bool
				}
			}
			Envelope struct{ Checksum string }
			Domain   struct {
				Kind          string
				SequenceID    string `json:"sequence_id"`
				CorrelationID string `json:"correlation_id"`
				CausationID   string `json:"causation_id"`
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(entry.Fields.Data), &wire))
	h, d := wire.Metadata.Headers, wire.Metadata.Domain
	m := &message.Envelope{Data: wire.Data, Source: message.Source{Stream: entry.Stream, ID: entry.ID}}
	m.Metadata.Headers = message.Headers{ID: h.ID, Type: h.Type, Stream: h.Stream, Time: h.Time}
	if p := h.TraceParent; p != nil {
		m.Metadata.Headers.TraceParent = message.TraceParent{TraceID: p.TraceID, ParentID: p.ParentID, Sampled: p.Sampled}
	}
	m.Metadata.Integrity.Checksum = wire.Metadata.Envelope.Checksum
	m.Metadata.Domain = message.Domain{
		Kind: d.Kind, SequenceID: d.SequenceID, CorrelationID: d.CorrelationID, CausationID: d.CausationID,
	}
	return m
}
