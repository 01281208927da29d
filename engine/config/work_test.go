package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// workOf is what reading a file of n parts allocates, which is what it costs:
// each comparison of names, each error and each copy is an allocation.
func workOf(part string, n int) float64 {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(part, "#", fmt.Sprint(i)))
	}
	text := []byte(b.String())
	return testing.AllocsPerRun(1, func() {
		_, err := Parse("domain.toml", text, environ(nil))
		if err != nil && len(err.Error()) > 1000*n {
			panic("the errors are longer than the file")
		}
	})
}

func TestReadingIsLinearInTheSizeOfTheFile(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	for name, part := range map[string]string{
		"handlers":           "[observatory.handlers.H#]\nstream = \"s\"\ndeliver = \"http://me:${NONE|x}@h/\"\nheaders.A = \"x\"\n",
		"handlers, mistakes": "[observatory.handlers.H#]\nstrem = \"s\"\ndeliver = \"ftp://me:p@h/\"\nmax_retries = -1\n",
		"profiles, mistakes": "[server.profiles.p#]\ninherits = \"fast\"\n[server.subscriptions.H#]\nprofile = \"q#\"\n",
		"unknown tables":     "[servr#]\nx = 1\n",
		"brokers":            "[brokers.b#]\nprovider = \"redis\"\nURI = \"redis://h:1/0?max_connections=3\"\n",
	} {
		small, large := workOf(part, 200), workOf(part, 1600)
		require.Less(t, large, 10*small, name)
	}
}

func TestALongWordIsComparedWithNothing(t *testing.T) {
	t.Parallel()
	require.Empty(t, nearest(strings.Repeat("a", 1<<20), []string{"aaa", "order"}))
	names := make([]string, 1<<20)
	for i := range names {
		names[i] = "name"
	}
	require.Equal(t, "name", nearest("nam", names))
	require.Empty(t, nearest("order", append(names, "order")), "more names than are compared")
}

func TestWhatIsNestedTooDeepIsRefusedBeforeItIsParsed(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("a.", 20_000) + "a"
	for name, file := range map[string]string{
		"key": "\n" + deep + " = 1", "table": "\n[server." + deep + "]", "spaces": "\n" + strings.ReplaceAll(deep, ".", " . ") + " = 1",
		"quoted": "\n" + strings.ReplaceAll(deep, "a", `"a"`) + " = 1", "arrays": "\na = " + strings.Repeat("[", 20_000),
		"inline tables": "\na = " + strings.Repeat("{a=", 20_000), "array of tables": "\n[[" + deep + "]]",
		"after a string": "a = \"\\\"\" \n" + deep + " = 1", "after text": "a = '''x'' ''' # '\n" + deep + " = 1",
	} {
		require.Equal(t, []string{"domain.toml:2: expected a key of at most 100 parts, and values nested at most 100 deep"}, mistakes(t, file), name)
	}
	parse(t, "[custom]\na = \""+deep+"\" # "+deep+"\nb = '"+deep+"'\nc = \"\"\"\n"+deep+"\"\"\"\nd = '''\n"+deep+"'''\n"+
		strings.Repeat("z.", 60)+"b = ["+strings.Repeat("1.5, ", 500)+"]\n")
}
