package app_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
)

func TestMetricsTellOfTheProcessToo(t *testing.T) {
	t.Parallel()
	r := start(t, app.Options{ConfigPath: shoptest.Configure(t, memoryFile)})
	for _, metric := range []string{"go_goroutines", "go_memstats_alloc_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds_total"} {
		_, known := r.figure(metric)
		require.True(t, known, metric)
	}
	off := start(t, app.Options{ConfigPath: shoptest.Configure(t, memoryFile, "metrics = false")})
	_, known := off.figure("go_goroutines")
	require.False(t, known)
}

func TestEveryLinkOfTheLandingPageLeadsSomewhere(t *testing.T) {
	t.Parallel()
	r := start(t, app.Options{ConfigPath: shoptest.Configure(t, memoryFile)})
	root, err := url.Parse(strings.TrimSuffix(r.metrics, "metrics"))
	require.NoError(t, err)
	status, page := shoptest.Get(t, root.String())
	require.Equal(t, http.StatusOK, status)
	links := regexp.MustCompile(`href="([^"]+)"`).FindAllStringSubmatch(page, -1)
	require.NotEmpty(t, links)
	for _, link := range links {
		target, err := root.Parse(link[1])
		require.NoError(t, err)
		if target.Host != root.Host {
			continue
		}
		status, _ := shoptest.Get(t, target.String())
		require.Equal(t, http.StatusOK, status, link[1])
	}
}
