package operate_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/operate"
)

// shop are three subscriptions, two of them on one stream.
func shop() ([]operate.Subscription, error) {
	return []operate.Subscription{
		{Handler: "shop.Mailer", Stream: "shop::order", Group: "shop.Mailer", Type: "stream"},
		{Handler: "Report", Stream: "shop::order", Group: "reports", Type: "stream"},
		{Handler: "Stock", Stream: "shop::item", Group: "Stock", Type: "stream"},
	}, nil
}

// snapshot is what the servers say, or an error.
type snapshot struct {
	parts []collector.Part
	err   error
}

func (s snapshot) Snapshot(context.Context) (*collector.Snapshot, error) {
	return &collector.Snapshot{Parts: s.parts}, s.err
}

func TestFiguresAreThoseOfTheStreamAndItsGroup(t *testing.T) {
	t.Parallel()
	known := collector.Known
	of := func(stream, group string, lag float64) collector.Subscription {
		return collector.Subscription{
			Watch: collector.Watch{Stream: stream, Group: group}, Lag: known(lag), LagExact: known(1), Pending: known(lag + 1),
			LagSeconds: known(lag + 2), OldestUnfinishedSeconds: known(lag + 3),
		}
	}
	refused := errors.New("refused")
	list, err := operate.New(shop, snapshot{parts: []collector.Part{
		{Source: "broker:default", Figures: collector.Figures{
			Subscriptions: []collector.Subscription{of("shop::order", "reports", 10), of("shop::order", "shop.Mailer", 0), of("shop::item", "reports", 7)},
			Queues:        []collector.Queue{{Stream: "shop::order:dlq", Depth: known(3)}},
		}},
		{Source: "broker:partner", Err: refused},
	}}).Subscriptions(t.Context(), "")
	require.NoError(t, err)

	configured, _ := shop()
	require.Equal(t, []operate.Listed{
		{Subscription: configured[0], Lag: known(0), LagExact: known(1), Pending: known(1), DeadLetters: known(3), LagSeconds: known(2), OldestUnfinishedSeconds: known(3)},
		{Subscription: configured[1], Lag: known(10), LagExact: known(1), Pending: known(11), DeadLetters: known(3), LagSeconds: known(12), OldestUnfinishedSeconds: known(13)},
		{Subscription: configured[2]}, // unknown, not zero
	}, list.Subscriptions)
	require.Equal(t, []operate.Queue{{Stream: "shop::order", Depth: known(3)}, {Stream: "shop::item"}}, list.DeadLetters)
	require.Equal(t, []operate.Failure{{Source: "broker:partner", Err: refused}}, list.Failed)
}

func TestACategoryOfTheEventStoreHasNoDeadLetterQueue(t *testing.T) {
	t.Parallel()
	catalog := func() ([]operate.Subscription, error) {
		return []operate.Subscription{{Handler: "shop.Orders", Stream: "shop::order", Group: "shop.Orders", Type: "event_store"}}, nil
	}
	list, err := operate.New(operate.Catalog(catalog), snapshot{parts: []collector.Part{{Figures: collector.Figures{
		Queues: []collector.Queue{{Stream: "shop::order:dlq", Depth: collector.Known(3)}}, // of another program's stream
	}}}}).Subscriptions(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, list.DeadLetters)
	require.False(t, list.Subscriptions[0].DeadLetters.Known)
}

func TestWithoutServersEveryFigureIsUnknown(t *testing.T) {
	t.Parallel()
	list, err := operate.New(shop, nil).Subscriptions(t.Context(), "")
	require.NoError(t, err)
	configured, _ := shop()
	require.Equal(t, []operate.Listed{{Subscription: configured[0]}, {Subscription: configured[1]}, {Subscription: configured[2]}}, list.Subscriptions)
	require.Empty(t, list.Failed)
}

func TestAHandlerIsFoundByItsFullAndItsShortName(t *testing.T) {
	t.Parallel()
	operator := operate.New(shop, nil)
	for _, name := range []string{"shop.Mailer", "Mailer"} {
		list, err := operator.Subscriptions(t.Context(), name)
		require.NoError(t, err)
		require.Len(t, list.Subscriptions, 1)
		require.Equal(t, "shop.Mailer", list.Subscriptions[0].Handler)
		require.Equal(t, []operate.Queue{{Stream: "shop::order"}}, list.DeadLetters)
	}
}

func TestWhatCannotBeListedIsAnErrorWithAWayOut(t *testing.T) {
	t.Parallel()
	none := func() ([]operate.Subscription, error) { return nil, nil }
	broken := func() ([]operate.Subscription, error) { return nil, errors.New("no broker") }
	for want, c := range map[string]struct {
		catalog operate.Catalog
		figures operate.Figures
		handler string
	}{
		`there is no handler "Nope" in the file: expected one of shop.Mailer, Report, Stock`:     {shop, nil, "Nope"},
		`there is no handler "Nope": the file has none; add [observatory.handlers.<name>] to it`: {none, nil, "Nope"},
		`no broker`:                           {broken, nil, ""},
		`read the servers: collector: closed`: {shop, snapshot{err: collector.ErrClosed}, ""},
	} {
		_, err := operate.New(c.catalog, c.figures).Subscriptions(t.Context(), c.handler)
		require.EqualError(t, err, want)
	}
}

// Otherwise a misspelt stream looks like one on which all is done.
func TestWhatAServerDoesNotHaveIsTold(t *testing.T) {
	t.Parallel()
	stream := func(name string, added float64) collector.Stream {
		return collector.Stream{Stream: name, EntriesAdded: collector.Known(added)}
	}
	group := collector.Subscription{Watch: collector.Watch{Stream: "shop::order", Group: "reports"}, Lag: collector.Known(0)}
	missing := func(parts ...collector.Part) []operate.Missing {
		list, err := operate.New(shop, snapshot{parts: parts}).Subscriptions(t.Context(), "")
		require.NoError(t, err)
		var all []operate.Missing
		for _, s := range list.Subscriptions {
			all = append(all, s.Missing)
		}
		return all
	}
	read := collector.Figures{Streams: []collector.Stream{stream("shop::order", 3)}, Subscriptions: []collector.Subscription{group}}
	require.Equal(t, []operate.Missing{operate.NoGroup, "", operate.NoStream}, missing(collector.Part{Figures: read}))
	require.Equal(t, []operate.Missing{"", "", ""}, missing(collector.Part{Figures: read, Err: errors.New("not read whole")}))
	empty := collector.Figures{Streams: []collector.Stream{stream("shop::order", 0), stream("shop::item", 1)}, Subscriptions: []collector.Subscription{group}}
	require.Equal(t, []operate.Missing{operate.NoEntry, operate.NoEntry, operate.NoGroup}, missing(collector.Part{Figures: empty}))
	require.Equal(t, []operate.Missing{"", "", ""}, missing(), "no server was asked")
}
