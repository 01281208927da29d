// Package gauges exposes what a collector sees, and the counters of the engine
// beside it: one table of gauges, read by two exports. [Handler] serves them to
// Prometheus, [Producer] hands them to an OTLP reader, [Telemetry] is the meter
// provider that both belong to.
//
// Nothing is asked of any server before the first scrape or export; that one
// already carries values.
package gauges
