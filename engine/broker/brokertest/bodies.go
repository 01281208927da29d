package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
)

var bodiesTests = []test{
	{"bodies/are read by id, in the order given", broker.ConsumerGroups, bodiesByID},
}

func bodiesByID(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	read := s.read(t, 3)
	got, err := s.Bodies(t.Context(), []string{ids[2], "1-1", ids[0]})
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.Equal(t, read[2].Fields, got[0].Fields)
	require.True(t, got[1].Gone(), "there is no such entry")
	require.Equal(t, read[0].Fields, got[2].Fields)
}
