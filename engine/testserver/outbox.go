package testserver

import (
	_ "embed"
	"fmt"
	"net/url"
	"testing"
)

// outboxSchema is the table as Protean 0.18 makes it.
//
//go:embed outbox.sql
var outboxSchema string

// MakeOutbox makes the table that Protean keeps its outbox in, with as many rows
// that wait to be published.
func (d *PostgresDatabase) MakeOutbox(t testing.TB, pending int) {
	t.Helper()
	database, err := url.Parse(d.URL)
	if err == nil {
		err = execute(database, outboxSchema)
	}
	if err == nil {
		err = execute(database, fmt.Sprintf(`INSERT INTO public.outbox
			(id, message_id, stream_name, type, data, metadata_, status, retry_count, max_retries, priority, target_broker, created_at, _version)
			SELECT n, 'm' || n, 'shop::order-7', 'Shop.OrderPlaced.v1', '{}', '', 'pending', 0, 3, 0, 'default', now(), 0
			FROM generate_series(1, %d) n`, pending))
	}
	if err != nil {
		t.Fatal("testserver: postgres:", err)
	}
}
