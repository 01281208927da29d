package command

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestDeliveriesToTheLogAreJSONLinesOnStandardOutput(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	client := server.Client(t)
	p := serveShop(t, server, `deliver = "log:"`)
	shoptest.Place(t, client, "o1")
	shoptest.Place(t, client, `<"ä
>`)
	p.until("both are written", func() bool { return strings.Count(p.stdout.String(), "\n") == 2 })
	p.signal(syscall.SIGTERM)
	require.Equal(t, exitDone, p.exits(), "%s", &p.stderr)

	lines := strings.Split(strings.TrimSuffix(p.stdout.String(), "\n"), "\n")
	require.Len(t, lines, 2, "nothing else goes there")
	for i, order := range []string{"o1", "<\"ä\n>"} {
		var event struct {
			ID, Source, Type, SpecVersion string
			Data                          struct {
				OrderID string `json:"order_id"`
			}
		}
		require.NoError(t, json.Unmarshal([]byte(lines[i]), &event), lines[i])
		require.Equal(t, order, event.Data.OrderID)
		require.Equal(t, stream+"-"+order+"-0.1", event.ID)
		require.Equal(t, "urn:protean:shop", event.Source)
		require.Equal(t, "Shop.OrderPlaced.v1", event.Type)
		require.Equal(t, "1.0", event.SpecVersion)
	}
}
