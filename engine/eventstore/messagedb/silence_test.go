package messagedb_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/testserver"
)

// A message may take longer than a server may be silent: it arrives.
func TestALargeMessageMayTakeAsLongAsItArrives(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	proxy := testserver.Proxy(t, db.Addr)
	of := *db
	of.URL = strings.Replace(db.URL, db.Addr, proxy.Addr, 1)
	s := open(t, &of)
	const size, perSecond = 3_000_000, 250_000
	e := eventstoretest.Event(t, "shop::order-1", "large")
	data, err := json.Marshal(map[string]string{"text": strings.Repeat("x", size)})
	require.NoError(t, err)
	e.Data = data
	_, err = s.Append(t.Context(), e)
	require.NoError(t, err)
	proxy.Throttle(perSecond)
	began := time.Now()
	got, err := s.ReadCategory(t.Context(), "shop::order", 0, 100)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Greater(t, time.Since(began), 11*time.Second, "the test is one of a slow network")
}

// A server that answers no more is an error soon, and not the end of the caller.
func TestASilentServerIsAnError(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	proxy := testserver.Proxy(t, db.Addr)
	of := *db
	of.URL = strings.Replace(db.URL, db.Addr, proxy.Addr, 1)
	s := open(t, &of)
	_, err := s.ReadCategory(t.Context(), "shop::order", 0, 100)
	require.NoError(t, err)
	proxy.Stall()
	defer proxy.Flow()
	began := time.Now()
	_, err = s.ReadCategory(t.Context(), "shop::order", 0, 100)
	require.ErrorContains(t, err, "the server was silent for 10s")
	require.NotErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(began), 15*time.Second)
}
