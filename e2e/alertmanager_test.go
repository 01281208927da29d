package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

// page is what Alertmanager posts to a webhook: one group of alerts.
type page struct {
	Status      string
	GroupLabels map[string]string
	Alerts      []struct {
		Status              string
		Labels, Annotations map[string]string
	}
}

// webhook returns the address to page at, and the pages.
func webhook(t *testing.T) (string, <-chan page) {
	t.Helper()
	pages := make(chan page, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var p page
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		pages <- p
	}))
	t.Cleanup(server.Close)
	return server.URL + "/page", pages
}

// startAlertmanager runs a real one with the shipped configuration but for the
// address that it pages at.
func startAlertmanager(t *testing.T, receiver string) string {
	t.Helper()
	config := readYAML(t, "../deploy/alertmanager/alertmanager.yml")
	for _, r := range config["receivers"].([]any) {
		for _, hook := range r.(map[string]any)["webhook_configs"].([]any) {
			hook.(map[string]any)["url"] = receiver
		}
	}
	address := testserver.FreeAddress(t)
	p := start(t, program(t, "alertmanager", "prometheus-alertmanager"), "--config.file", writeYAML(t, config),
		"--storage.path", t.TempDir(), "--web.listen-address", address,
		"--cluster.listen-address", "", "--log.level", "warn")
	p.answers(t, "http://"+address+"/-/ready")
	return address
}

// pageOf waits for the page of an alert.
func pageOf(t *testing.T, pages <-chan page, alert string) page {
	t.Helper()
	deadline := time.After(limit)
	for {
		select {
		case p := <-pages:
			if p.GroupLabels["alertname"] == alert {
				return p
			}
			t.Logf("paged as well: %v", p.GroupLabels)
		case <-deadline:
			require.FailNow(t, "no page", "%s did not page within %s", alert, limit)
		}
	}
}
