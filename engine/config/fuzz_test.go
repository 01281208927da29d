package config

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
)

// FuzzParse: whatever a file holds, it is read or refused with errors that name
// it, and what was read can be resolved.
func FuzzParse(f *testing.F) {
	full, err := os.ReadFile(fullFile)
	require.NoError(f, err)
	f.Add(string(full))
	f.Add("[observatory.handlers.H]\nstream = \"s\"\ndeliver = \"log:\"\nheaders.A = \"b\"")
	f.Add("[[server.subscriptions.X]]\nprofile = 3")
	f.Add("databases = 3\nbrokers = []\n[server]\nprofiles = {a = {inherits = \"fast\"}}")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, filePrefix) {
			return // the fuzzer shall not read files
		}
		c, err := Parse("domain.toml", []byte(text), environ(nil))
		if err != nil {
			require.Contains(t, err.Error(), "domain.toml")
			return
		}
		for _, h := range c.Handlers {
			_, err := c.Resolve(handler.Events(h.Name, h.Stream))
			require.NoError(t, err, "what is wrong with a handler of the file is found when it is read")
		}
		resolved, err := c.Resolve(handler.Events("other", "s"))
		if err == nil {
			require.Positive(t, resolved.Config().MessagesPerTick)
			require.Positive(t, resolved.Config().BlockingTimeout)
		}
	})
}
