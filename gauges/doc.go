// Package gauges exposes what a collector reads, and the counters of the engine
// beside it: one table of gauges, read by two exports. [Handler] serves them to
// Prometheus, [Producer] hands them to an OTLP reader, [Telemetry] is the meter
// provider that both belong to.
//
// No server is contacted before the first scrape or export; that one already
// carries values.
package gauges
