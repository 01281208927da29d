package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/handler"
)

func TestSubscriptionsHaveTheirSettingsWithThePlaceThatDecidedThem(t *testing.T) {
	t.Parallel()
	d := open(t, streams+`
[server.subscriptions.Mails]
messages_per_tick = 7
`, &fakes{})
	require.NoError(t, d.Register(
		handler.Events("shop.orders.Mails", "shop::order", on("A")...),
		handler.Events("shop.Old", "shop::order", on("A")...).With(handler.Options{Type: "event_store"}),
		handler.Subscriber("shop.Legacy", "legacy", nothing),
	))
	all, err := d.Subscriptions()
	require.ErrorContains(t, err, "handler shop.Old would read the event store")
	require.Len(t, all, 2, "what can run is listed beside the error")
	require.Equal(t, "shop.orders.Mails shop.orders.Mails shop::order stream",
		all[0].Handler+" "+all[0].Group+" "+all[0].Stream+" "+all[0].Type)
	require.Contains(t, all[0].Settings, config.Setting{Key: "messages_per_tick", Value: "7", Origin: "[server.subscriptions.Mails]"})
	require.Contains(t, all[0].Settings, config.Setting{Key: "subscription_type", Value: "stream", Origin: "[server]"})
	require.Equal(t, "broker", all[1].Type)
}

func TestAnEngineGetsTheBoundsOfTheFile(t *testing.T) {
	t.Parallel()
	d := open(t, streams+`
[observatory]
max_inflight_bytes = 2097152
[server.subscriptions.Mails]
claim_idle_seconds = 1.5
`, &fakes{})
	require.NoError(t, d.Register(
		handler.Events("shop.Mails", "shop::order", on("A")...),
		handler.Events("shop.Other", "shop::order", on("A")...),
	))
	c, err := d.Config()
	require.NoError(t, err)
	require.EqualValues(t, 2<<20, c.MaxInflightBytes)
	require.Equal(t, 1500*time.Millisecond, c.Subscriptions[0].ClaimIdle)
	require.Equal(t, time.Minute, c.Subscriptions[1].ClaimIdle)

	c, err = open(t, "", &fakes{}).Config()
	require.NoError(t, err)
	require.EqualValues(t, 256<<20, c.MaxInflightBytes)
}
