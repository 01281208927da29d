package interop

import (
	"net/url"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

// openLedger opens the project of that folder, over a Message-DB of its own, in
// whose schema Protean's client looks functions up by their plain names.
func openLedger(t *testing.T) *project {
	t.Helper()
	store, err := url.Parse(testserver.MessageDB(t).URL)
	require.NoError(t, err)
	store.Scheme = "postgresql"
	query := store.Query()
	query.Set("options", "-csearch_path=message_store,public")
	store.RawQuery = query.Encode()
	return open(t, "ledger", "account_id", "LEDGER_MESSAGE_DB="+store.String())
}

func TestEachEngineGoesOnWhereTheOtherStoppedInMessageDB(t *testing.T) {
	t.Parallel()
	l := openLedger(t)
	appended := func(prefix string) []string {
		ids := names(prefix, 5)
		l.run(l.python(append([]string{"append.py"}, ids...)...))
		return ids
	}
	handles := func(what string, e *engine, by func() []string, want []string) {
		l.eventually(what, func() bool {
			e.runs()
			return len(by()) >= len(want)
		})
		e.end(syscall.SIGTERM)
		assert.Equal(t, want, by(), what)
	}

	first := appended("first")
	handles("Protean handles the first events", l.startPython(), l.byPython, first)
	second := appended("second")
	handles("ours goes on after them", l.startOurs(), l.byOurs, second)
	third := appended("third")
	handles("Protean goes on after those", l.startPython(), l.byPython, append(first, third...))
}
