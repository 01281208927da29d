package memorystore_test

import (
	"testing"

	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/eventstore/memorystore"
)

func TestConformance(t *testing.T) {
	eventstoretest.Run(t, func(*testing.T) func() eventstoretest.Process {
		s := memorystore.New()
		return func() eventstoretest.Process {
			return eventstoretest.Process{Store: s, Die: func() { s.Expire("shop.orders.Report", "shop::order") }}
		}
	})
}
