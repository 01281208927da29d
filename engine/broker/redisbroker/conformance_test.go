package redisbroker_test

import (
	"testing"

	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestRedisKeepsWhatABrokerPromises(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, func(t *testing.T) brokertest.Broker {
		server := testserver.Redis(t)
		return operated{open(t, server.URL), server.Client(t)}
	})
}

func TestRedisOnOneConnectionKeepsWhatABrokerPromises(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, func(t *testing.T) brokertest.Broker {
		server := testserver.Redis(t)
		return operated{open(t, server.URL, func(c *redisbroker.Config) { c.MaxConnections = 1 }), server.Client(t)}
	})
}

func TestRedisWithTheRightsOfTheOperationsGuideKeepsWhatABrokerPromises(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.give(operatorRights(t)...)
	g.give("~*")
	t.Run("suite", func(t *testing.T) {
		brokertest.Run(t, func(t *testing.T) brokertest.Broker { return operated{open(t, g.url), g.admin} })
	})
}
