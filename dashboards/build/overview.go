package main

// overview answers, from top to bottom: is it up, does it keep pace, what fails,
// and how are the servers below.
func overview() dashboard {
	return dashboard{
		UID:           "observatory-overview",
		Title:         "Observatory / Overview",
		Description:   "Message handlers over Redis Streams: what they do, how far behind they are, what they gave up on, and the servers below them.",
		Tags:          []string{"observatory"},
		Editable:      false,
		GraphTooltip:  1, // one crosshair for all panels
		SchemaVersion: 39,
		Refresh:       "30s",
		Time:          timeRange{From: "now-1h", To: "now"},
		Timezone:      "browser",
		Templating:    templating{List: variables()},
		Panels: layout(
			section{"Now", now()},
			section{"Work", work()},
			section{"Backlog", backlog()},
			section{"Failures", failures()},
			section{"Broker", broker()},
			section{"Database and outbox", database()},
			section{"Collector", collector()},
		),
	}
}

func variables() []variable {
	return []variable{
		{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus", Refresh: 1},
		choice("job", "Job", `label_values(protean_build_info, job)`),
		choice("instance", "Instance", `label_values(protean_build_info{job=~"$job"}, instance)`),
		choice("domain", "Domain", `label_values(protean_broker_up{job=~"$job", instance=~"$instance"}, domain)`),
	}
}

// choice is a variable of which several values may be taken; all of them at
// first. It is read again whenever the time range changes.
func choice(name, label, values string) variable {
	return variable{
		Name: name, Label: label, Type: "query", Query: values, Datasource: &source,
		Refresh: 2, Multi: true, IncludeAll: true, AllValue: ".+", Sort: 1,
		Current: &selected{Text: []string{"All"}, Value: []string{"$__all"}},
	}
}

func now() []panel {
	return []panel{
		figure("Engine", "Each engine: up, or down from the moment its shutdown starts.", "none",
			query{own("min", "domain, instance", "protean_engine_up"), "{{domain}} {{instance}}"}).
			states("down", "red", "up", "green"),
		figure("Broker", "Each broker, as the process that sees it worst does.", "none",
			query{own("min", "domain, broker_name", "protean_broker_up"), "{{domain}} {{broker_name}}"}).
			states("down", "red", "up", "green"),
		figure("Subscriptions", "Handlers on streams that the engines run, over all processes.", "none",
			query{own("sum", "domain", "protean_engine_active_subscriptions"), "{{domain}}"}),
		figure("Dead letters", "Messages in dead-letter queues. Nobody handles them until they are replayed.", "none",
			query{"sum by (domain) (" + shared("protean_dlq_depth") + ")", "{{domain}}"}).
			warnAbove(1, 100),
		figure("Oldest unfinished", "Age of the oldest message that is not handled yet, over all subscriptions.", "s",
			query{"max by (domain) (" + shared("protean_subscription_oldest_unfinished_seconds") + ")", "{{domain}}"}).
			warnAbove(300, 1800),
		figure("Uptime", "Time since each engine was built; the youngest process of a domain.", "s",
			query{own("min", "domain", "protean_engine_uptime_seconds"), "{{domain}}"}),
		figure("Version", "Versions that run. More than one is a rollout.", "none",
			query{ofEachProcess("count", "version, revision, goversion", "protean_build_info"), "{{version}} {{goversion}}"}).
			named().wide(columns),
	}
}

func work() []panel {
	const processed = "protean_subscription_messages_processed_total"
	return []panel{
		chart("Throughput", "Handler calls a second, by how they ended. `skipped`: no handler of the subscription takes the type; acknowledged.", "cps",
			query{rate("handler, status", processed, ""), "{{handler}} {{status}}"}),
		chart("Error share", "Failed calls out of all calls. A retry counts as a call of its own; nothing is shown while nothing is called.", "percentunit",
			query{rate("handler", processed, `, status="error"`) + " / " + rate("handler", processed, `, status=~"ok|error"`), "{{handler}}"}).
			share(),
		chart("In and out", "Entries added to the streams, and read by each group, as Redis counts them: all publishers, all replicas.", "cps",
			query{sharedRate("protean_stream_entries_added_total"), "{{stream}} added"},
			query{sharedRate("protean_subscription_entries_read_total"), "{{stream}} read by {{handler}}"}),
		chart("Processing time", "Wall time of a handler's call: median, 95th and 99th percentile.", "s",
			quantiles("protean_subscription_processing_duration_seconds")...).wide(12),
		chart("End to end", "From the event's own time until it was handled: median, 95th and 99th percentile.", "s",
			quantiles("protean_subscription_end_to_end_seconds")...).wide(12),
	}
}

func backlog() []panel {
	const legend = "{{handler}} on {{stream}}"
	return []panel{
		chart("Lag", "Entries that a group has not got yet. No line: unknown. A lower bound where protean_subscription_lag_exact is 0.", "short",
			query{shared("protean_subscription_consumer_lag"), legend}).wide(6),
		chart("Lag in time", "Age of the oldest entry that a group has not got yet.", "s",
			query{shared("protean_subscription_lag_seconds"), legend}).wide(6),
		chart("Pending", "Entries delivered to a consumer of the group and not acknowledged: in flight, waiting for a retry, or left by a process that died.", "short",
			query{shared("protean_subscription_pending_messages"), legend}).wide(6),
		chart("Oldest unfinished", "Age of the oldest entry that is not got yet or still pending.", "s",
			query{shared("protean_subscription_oldest_unfinished_seconds"), legend}).wide(6),
	}
}

func failures() []panel {
	const legend = "{{handler}} on {{stream}}"
	return []panel{
		chart("Dead letters waiting", "Depth of each dead-letter queue.", "short",
			query{shared("protean_dlq_depth"), "{{dlq_stream}}"}),
		chart("Dead letters arriving", "Messages that our handlers gave up on, per interval of the chart.", "short",
			query{increase("handler, stream", "protean_subscription_dlq_routed_total"), legend}),
		chart("Application down", "The application that a handler delivers to takes no messages: they wait, none is given up on.", "none",
			query{own("max", "handler, stream", "protean_subscription_target_down"), legend}).
			states("up", "green", "down", "red").stepped(),
		chart("Retries", "Failed messages that are tried again, a second.", "cps",
			query{rate("handler, stream", "protean_subscription_retries_total", ""), legend}),
		chart("Retries waiting", "Messages that wait for their next attempt now.", "short",
			query{own("sum", "handler, stream", "protean_subscription_waiting_retries"), legend}),
		chart("Ghost entries", "Entries that were delivered without their body, because somebody deleted or trimmed it: acknowledged, lost.", "short",
			query{increase("handler, stream", "protean_subscription_ghost_entries_total"), legend}),
	}
}

func broker() []panel {
	const legend = "{{domain}} {{broker_name}}"
	return []panel{
		chart("Broker up", "Each process' way to its broker.", "none",
			query{own("min", "domain, broker_name, instance", "protean_broker_up"), legend + " from {{instance}}"}).
			states("down", "red", "up", "green").stepped(),
		chart("Memory", "Memory that the broker's server uses.", "bytes",
			query{shared("protean_broker_memory_bytes"), legend}),
		chart("Operations", "Commands that the broker's server runs a second, of all its clients.", "ops",
			query{shared("protean_broker_ops_per_sec_per_second"), legend}),
		chart("Clients", "Clients connected to the broker's server, of all programs.", "short",
			query{shared("protean_broker_connected_clients"), legend}).wide(12),
		chart("Broker pool", "Connections of each process to the broker that are in use.", "short",
			query{own("sum", "domain, broker_name, instance", "protean_broker_pool_active_connections"), legend + " {{instance}}"}).wide(12),
	}
}

func database() []panel {
	const labels, legend = "domain, provider_name, instance", "{{provider_name}} {{instance}} "
	return []panel{
		chart("Database pool", "Each process' pool. Overflow is open connections minus size, negative until the pool has grown; idle + in use = size + overflow.", "short",
			query{own("sum", labels, "protean_db_pool_size"), legend + "size"},
			query{own("sum", labels, "protean_db_pool_checked_out"), legend + "in use"},
			query{own("sum", labels, "protean_db_pool_checked_in"), legend + "idle"},
			query{own("sum", labels, "protean_db_pool_overflow"), legend + "overflow"}).
			belowZero().wide(12),
		chart("Outbox pending", "Committed events that are not published yet.", "short",
			query{shared("protean_outbox_pending_count"), "{{domain}}"}).wide(12),
	}
}

func collector() []panel {
	return []panel{
		chart("Sources read", "Whether each process could read the servers it looks at. Where it could not, their figures are missing, not zero.", "none",
			query{ofEachProcess("min", "instance, source", "protean_collector_success"), "{{source}} from {{instance}}"}).
			states("failed", "red", "read", "green").stepped().wide(12),
		chart("Time to read", "How long each source took at the last scrape.", "s",
			query{ofEachProcess("max", "instance, source", "protean_collector_duration_seconds"), "{{source}} from {{instance}}"}).wide(12),
	}
}
