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
		return open(t, testserver.Redis(t).URL)
	})
}

func TestRedisOnOneConnectionKeepsWhatABrokerPromises(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, func(t *testing.T) brokertest.Broker {
		return open(t, testserver.Redis(t).URL, func(c *redisbroker.Config) { c.MaxConnections = 1 })
	})
}
