package message

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamesOfStreams(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string][2]string{
		"shop_stream::order-3f1c9a1e-0c1f": {"shop_stream::order", "shop_stream"},
		"shop::order-fact-17":              {"shop::order", "shop"},
		"shop::order:command-17":           {"shop::order:command", "shop"},
		"shop::order":                      {"shop::order", "shop"},
		"payments":                         {"payments", ""},
		"-x":                               {"", ""},
		"":                                 {"", ""},
	} {
		require.Equal(t, want, [2]string{Category(stream), DomainOf(stream)}, stream)
	}
	require.Equal(t, "shop::order:command", CommandCategory("shop::order"))
}
