package gauges

import (
	"slices"

	"github.com/observatory-go/observatory/collector"
)

// Table returns every gauge, in the order of the families that it makes.
func Table() []Gauge {
	return slices.Concat(
		subscriptionTable(), queueTable(), brokerTable(), poolTable(), collectorTable(),
	)
}

// gauge is a row without labels and reader.
func gauge(name, exposed, unit, help string) Gauge {
	return Gauge{Name: name, Exposed: exposed, Unit: unit, Help: help}
}

func subscriptionTable() []Gauge {
	labels := []string{"domain", "group", "handler", "stream", "type"}
	of := func(g Gauge, read func(*collector.Subscription) collector.Value) Gauge {
		return g.shared().of(labels, subscriptions(read))
	}
	return []Gauge{
		of(gauge("protean.subscription.consumer_lag", "protean_subscription_consumer_lag", "",
			"Entries that the group has not got yet; an estimate where protean_subscription_lag_exact is 0."),
			func(s *collector.Subscription) collector.Value { return s.Lag }),
		of(gauge("protean.subscription.lag_exact", "protean_subscription_lag_exact", "",
			"1 where protean_subscription_consumer_lag is the true count, 0 where it is an estimate: as far as was counted, or what the server says of a stream that lost entries."),
			func(s *collector.Subscription) collector.Value { return s.LagExact }),
		of(gauge("protean.subscription.lag_seconds", "protean_subscription_lag_seconds", "s",
			"Age of the oldest entry that the group has not got yet; 0 where there is none."),
			func(s *collector.Subscription) collector.Value { return s.LagSeconds }),
		of(gauge("protean.subscription.pending_messages", "protean_subscription_pending_messages", "",
			"Entries delivered and not acknowledged."),
			func(s *collector.Subscription) collector.Value { return s.Pending }),
		of(gauge("protean.subscription.oldest_unfinished_seconds", "protean_subscription_oldest_unfinished_seconds", "s",
			"Age of the oldest entry not yet got or still pending; 0 where there is none."),
			func(s *collector.Subscription) collector.Value { return s.OldestUnfinishedSeconds }),
		of(gauge("protean_subscription_dlq_depth", "protean_subscription_dlq_depth", "",
			"Dead letters of the subscription's stream, repeated for each of its handlers, or the messages of an event store that the handler gave up on; protean_dlq_depth has them once."),
			func(s *collector.Subscription) collector.Value { return s.DeadLetters }),
		of(gauge("protean.subscription.position_ahead", "protean_subscription_position_ahead", "",
			"1 where the position is beyond the event store's head, or the group's beyond the last entry of its stream: that was restored, or is another one, and nothing is read; else 0."),
			func(s *collector.Subscription) collector.Value { return s.PositionAhead }),
		of(gauge("protean_subscription_status", "protean_subscription_status", "",
			"1 where nothing lags or is pending, else 0; absent where that is unknown."), status),
		gauge("protean.subscription.health", "protean_subscription_health", "",
			"1 for the state that the last ten minutes show, of ok, slow, stalled, stopped and paused, 0 for the others; absent until half a minute is known. Replicas may see different windows: take the worst.").
			shared().of(slices.Insert(slices.Clone(labels), 3, "state"), health),
		of(gauge("protean.subscription.drain", "protean_subscription_drain_seconds", "s",
			"Time until nothing is left, at the pace of the last ten minutes; absent unless the lag stayed above zero and falls."),
			func(s *collector.Subscription) collector.Value { return s.DrainSeconds }),
		of(gauge("protean.subscription.paused", "protean_subscription_paused", "",
			"1 while the subscription is paused by hand, else 0."),
			func(s *collector.Subscription) collector.Value { return s.Paused }),
		of(gauge("protean.subscription.entries_read", "protean_subscription_entries_read_total", "",
			"Entries that the group ever got, as the server counts them.").counted(),
			func(s *collector.Subscription) collector.Value { return s.EntriesRead }),
	}
}

// health emits each state of a subscription, one of them 1.
func health(s *collector.Snapshot, emit Emit) {
	for i := range s.Parts {
		list := s.Parts[i].Subscriptions
		for j := range list {
			sub := &list[j]
			if sub.Health == "" {
				continue
			}
			for _, state := range collector.Healths {
				value := 0.0
				if state == sub.Health {
					value = 1
				}
				emit(value, sub.Domain, sub.Group, sub.Handler, string(state), sub.Stream, sub.Type)
			}
		}
	}
}

func status(s *collector.Subscription) collector.Value {
	switch {
	case !s.Lag.Known || !s.Pending.Known:
		return collector.Value{}
	case s.Lag.V == 0 && s.Pending.V == 0:
		return collector.Known(1)
	}
	return collector.Known(0)
}

func queueTable() []Gauge {
	return []Gauge{
		gauge("protean.dlq.depth", "protean_dlq_depth", "",
			"Messages in the dead-letter queue; of an event store, where dlq_stream is a stream of failed positions, those given up on.").
			shared().of([]string{"dlq_stream", "domain"}, func(s *collector.Snapshot, emit Emit) {
			for i := range s.Parts {
				for _, q := range s.Parts[i].Queues {
					known(emit, q.Depth, q.Stream, q.Domain)
				}
			}
		}),
		gauge("protean.stream.entries_added", "protean_stream_entries_added_total", "",
			"Entries ever added to the stream, as the server counts them.").counted().
			shared().of([]string{"domain", "stream"}, func(s *collector.Snapshot, emit Emit) {
			for i := range s.Parts {
				for _, stream := range s.Parts[i].Streams {
					known(emit, stream.EntriesAdded, stream.Domain, stream.Stream)
				}
			}
		}),
		gauge("protean.stream.retention_held_entries", "protean_stream_retention_held_entries", "",
			"Entries kept beyond retention_maxlen because a group has not acknowledged them: the group of the label, the one with the oldest.").
			shared().of([]string{"domain", "group", "stream"}, func(s *collector.Snapshot, emit Emit) {
			for i := range s.Parts {
				for _, stream := range s.Parts[i].Streams {
					known(emit, stream.RetentionHeld, stream.Domain, stream.RetentionHeldBy, stream.Stream)
				}
			}
		}),
		gauge("protean.eventstore.head", "protean_eventstore_head", "",
			"Global position of the event store's last message.").
			shared().of([]string{"domain"}, func(s *collector.Snapshot, emit Emit) {
			for i := range s.Parts {
				for _, store := range s.Parts[i].EventStores {
					known(emit, store.Head, store.Domain)
				}
			}
		}),
		gauge("protean.outbox.pending_count", "protean_outbox_pending_count", "",
			"Rows of the outbox that wait to be published; counting stops at 100001.").
			shared().of([]string{"domain"}, func(s *collector.Snapshot, emit Emit) {
			for i := range s.Parts {
				for _, outbox := range s.Parts[i].Outboxes {
					known(emit, outbox.Pending, outbox.Domain)
				}
			}
		}),
	}
}

func brokerTable() []Gauge {
	labels := []string{"broker_name", "domain"}
	return []Gauge{
		gauge("protean_broker_up", "protean_broker_up", "",
			"1 where entries can be consumed from the broker's server, else 0: it does not answer, or it refuses.").
			seen().of(labels, brokers(func(b *collector.Broker) collector.Value { return b.Up })),
		gauge("protean_broker_memory_bytes", "protean_broker_memory_bytes", "By",
			"Memory that the broker's server uses.").
			shared().of(labels, brokers(func(b *collector.Broker) collector.Value { return b.MemoryBytes })),
		gauge("protean_broker_connected_clients", "protean_broker_connected_clients", "",
			"Clients connected to the broker's server.").
			shared().of(labels, brokers(func(b *collector.Broker) collector.Value { return b.ConnectedClients })),
		gauge("protean_broker_ops_per_sec", "protean_broker_ops_per_sec_per_second", "{operation}/s",
			"Operations a second that the broker's server makes.").
			shared().of(labels, brokers(func(b *collector.Broker) collector.Value { return b.OpsPerSecond })),
		gauge("protean.broker.pool_active_connections", "protean_broker_pool_active_connections", "{connection}",
			"Connections to the broker in use.").
			own().of(labels, brokers(func(b *collector.Broker) collector.Value { return b.PoolActive })),
	}
}

func poolTable() []Gauge {
	labels := []string{"database_type", "domain", "provider_name"}
	of := func(g Gauge, read func(*collector.Pool) int) Gauge {
		g.Unit = "{connection}"
		return g.own().of(labels, pools(read))
	}
	return []Gauge{
		of(gauge("protean.db.pool_size", "protean_db_pool_size", "",
			"Configured size of the connection pool."),
			func(p *collector.Pool) int { return p.Size }),
		of(gauge("protean.db.pool_checked_out", "protean_db_pool_checked_out", "",
			"Connections in use."),
			func(p *collector.Pool) int { return p.CheckedOut }),
		of(gauge("protean.db.pool_overflow", "protean_db_pool_overflow", "",
			"Open connections minus the pool's size; negative until the pool has grown."),
			func(p *collector.Pool) int { return p.Overflow }),
		of(gauge("protean.db.pool_checked_in", "protean_db_pool_checked_in", "",
			"Idle connections in the pool."),
			func(p *collector.Pool) int { return p.CheckedIn }),
	}
}

func collectorTable() []Gauge {
	labels := []string{"source"}
	return []Gauge{
		gauge("protean.collector.success", "protean_collector_success", "",
			"1 where the source was read whole for this scrape, else 0.").
			seen().of(labels, parts(func(p *collector.Part) float64 {
			if p.Err != nil {
				return 0
			}
			return 1
		})),
		gauge("protean.collector.duration", "protean_collector_duration_seconds", "s",
			"Time that reading the source took.").
			seen().of(labels, parts(func(p *collector.Part) float64 { return p.Duration.Seconds() })),
	}
}
