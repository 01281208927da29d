package subscription

import (
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
)

// Status is what a subscription is doing.
type Status struct {
	Domain, Handler, Group, Stream string
	// Joined says that the subscription has its seat in the group.
	Joined bool
	// Waiting is how many messages wait on the side for another attempt.
	Waiting int
	// TargetDown says that the subscription is held up because the handler's
	// target is down.
	TargetDown bool
}

// status is read by probes and scrapes while the dispatcher writes it.
type status struct {
	joined       atomic.Bool
	waiting      atomic.Int64
	down         atomic.Int64
	registration metric.Registration
}

func (s *status) setDown(down bool) {
	if down {
		s.down.Store(1)
	} else {
		s.down.Store(0)
	}
}
