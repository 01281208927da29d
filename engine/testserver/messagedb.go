package testserver

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

const installMessageDB = "install it with `make servers`, or set MESSAGE_DB to the folder of the npm package @eventide/message-db"

// MessageDB is [Postgres] with Message-DB installed in the database.
func MessageDB(t testing.TB) *PostgresDatabase {
	t.Helper()
	sql, err := messageDBSQL()
	if err != nil {
		t.Fatal("testserver: Message-DB:", err)
	}
	d := Postgres(t)
	database, err := url.Parse(d.URL)
	if err == nil {
		// The role that it makes belongs to the server: two at once would fail.
		installing.Lock()
		err = execute(database, sql)
		installing.Unlock()
	}
	if err != nil {
		t.Fatal("testserver: Message-DB:", err)
	}
	return d
}

var installing sync.Mutex

// messageDBSQL is what the package's own install.sh runs, in its order.
var messageDBSQL = sync.OnceValues(func() (string, error) {
	folder := os.Getenv("MESSAGE_DB")
	if folder == "" {
		_, here, _, _ := runtime.Caller(0)
		folder = filepath.Join(filepath.Dir(here), "messagedb", "node_modules", "@eventide", "message-db")
	}
	// Writing and reading call the functions of the schema by their plain names.
	sql := []string{"SET search_path TO message_store, public;"}
	for _, name := range []string{
		"roles/message-store", "schema/message-store", "extensions/pgcrypto", "tables/messages", "types/message",
		"functions/message-store-version", "functions/hash-64", "functions/acquire-lock", "functions/category",
		"functions/is-category", "functions/id", "functions/cardinal-id", "functions/stream-version",
		"functions/write-message", "functions/get-stream-messages", "functions/get-category-messages",
		"functions/get-last-stream-message", "indexes/messages-id", "indexes/messages-stream", "indexes/messages-category",
		"views/stream-summary", "views/type-summary", "views/stream-type-summary", "views/type-stream-summary",
		"views/category-type-summary", "views/type-category-summary",
		"privileges/schema", "privileges/table", "privileges/sequence", "privileges/functions", "privileges/views",
	} {
		text, err := os.ReadFile(filepath.Join(folder, "database", filepath.FromSlash(name)+".sql"))
		if err != nil {
			return "", fmt.Errorf("%w: %s", err, installMessageDB)
		}
		sql = append(sql, string(text))
	}
	return strings.Join(sql, "\n"), nil
})
