package domain_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAProgramLinksOnlyTheAdaptersItNames(t *testing.T) {
	t.Parallel()
	const module = "github.com/observatory-go/observatory/"
	clients := map[string]string{
		"redis": "github.com/redis/go-redis", "postgres": "github.com/jackc/pgx", "http": "github.com/cloudevents/sdk-go",
		"prometheus": "github.com/prometheus/client_golang",
	}
	for _, row := range []struct {
		packages []string
		links    string
	}{
		{[]string{"engine/domain"}, ""},
		{[]string{"engine/domain", "engine/broker/memorybroker"}, ""},
		{[]string{"engine/domain", "engine/broker/redisbroker"}, "redis"},
		{[]string{"engine/domain", "engine/database/postgres"}, "postgres"},
	} {
		args := []string{"list", "-deps"}
		for _, p := range row.packages {
			args = append(args, module+p)
		}
		out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		for name, path := range clients {
			require.Equal(t, name == row.links, strings.Contains(string(out), path), "%v and %s", row.packages, name)
		}
	}
}
