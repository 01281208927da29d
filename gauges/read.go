package gauges

import "github.com/observatory-go/observatory/collector"

// known emits a figure that is known.
func known(emit Emit, v collector.Value, labels ...string) {
	if v.Known {
		emit(v.V, labels...)
	}
}

func subscriptions(read func(*collector.Subscription) collector.Value) func(*collector.Snapshot, Emit) {
	return func(s *collector.Snapshot, emit Emit) {
		for i := range s.Parts {
			list := s.Parts[i].Subscriptions
			for j := range list {
				sub := &list[j]
				known(emit, read(sub), sub.Domain, sub.Group, sub.Handler, sub.Stream, sub.Type)
			}
		}
	}
}

func brokers(read func(*collector.Broker) collector.Value) func(*collector.Snapshot, Emit) {
	return func(s *collector.Snapshot, emit Emit) {
		for i := range s.Parts {
			list := s.Parts[i].Brokers
			for j := range list {
				known(emit, read(&list[j]), list[j].Name, list[j].Domain)
			}
		}
	}
}

func pools(read func(*collector.Pool) int) func(*collector.Snapshot, Emit) {
	return func(s *collector.Snapshot, emit Emit) {
		for i := range s.Parts {
			list := s.Parts[i].Pools
			for j := range list {
				emit(float64(read(&list[j])), list[j].DatabaseType, list[j].Domain, list[j].Provider)
			}
		}
	}
}

func parts(read func(*collector.Part) float64) func(*collector.Snapshot, Emit) {
	return func(s *collector.Snapshot, emit Emit) {
		for i := range s.Parts {
			emit(read(&s.Parts[i]), s.Parts[i].Source)
		}
	}
}
