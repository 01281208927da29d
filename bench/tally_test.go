package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestACountThatIsWrongSaysHow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ids  []string
		want string
	}{
		"all once":   {ids: []string{"o-a-0.1", "o-b-1.1"}},
		"one missed": {ids: []string{"o-a-0.1"}, want: "1 were not handled"},
		"one twice":  {ids: []string{"o-a-0.1", "o-b-1.1", "o-b-1.1"}, want: "1 more than once"},
		"unknown":    {ids: []string{"o-a-0.1", "o-b-1.1", "o-b-2.1", "x"}, want: "2 calls had no known id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			count := newTally(2)
			for _, id := range c.ids {
				count.handle(id, []byte("{}"))
			}
			if c.want == "" {
				require.NoError(t, count.verify())
				return
			}
			require.ErrorContains(t, count.verify(), c.want)
		})
	}
}

func TestAHandlerThatGetsNoPayloadFailsTheCount(t *testing.T) {
	t.Parallel()
	count := newTally(1)
	count.handle("o-a-0.1", nil)
	<-count.done
	require.ErrorContains(t, count.verify(), "no payload")
}
