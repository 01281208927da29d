package config

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// example is a file that a page shows, and where it stands there.
type example struct{ where, text string }

var tomlBlock = regexp.MustCompile("(?ms)^```toml\n(.*?)^```$")

func shownFiles(t *testing.T) []example {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	var all []example
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, at := range tomlBlock.FindAllSubmatchIndex(text, -1) {
			line := strings.Count(string(text[:at[2]]), "\n") + 1
			all = append(all, example{fmt.Sprintf("%s:%d", filepath.Base(page), line), string(text[at[2]:at[3]])})
		}
	}
	return all
}

func TestEveryExampleOfTheDocsLoadsWithoutAWarning(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	for _, name := range []string{"token", "redis", "postgres", "message-db"} {
		require.NoError(t, os.WriteFile(filepath.Join(secrets, name), []byte("s3cret"), 0o600))
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	authorities := filepath.Join(secrets, "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(authorities, certificate, 0o600))
	found := shownFiles(t)
	require.Greater(t, len(found), 10)
	for _, e := range found {
		text := strings.NewReplacer("/run/secrets", secrets, "/etc/ssl/redis-ca.pem", authorities).Replace(e.text)
		for _, environment := range []string{"", "production"} {
			c, err := Parse("domain.toml", []byte(text), environ(map[string]string{"PROTEAN_ENV": environment}))
			require.NoError(t, err, e.where)
			require.Empty(t, c.Warnings, e.where)
		}
	}
}
