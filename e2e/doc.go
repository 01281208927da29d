// Package e2e follows a failure from a message on real Redis to the page that it
// causes: the observatory's own binary, real PostgreSQL, Prometheus with the
// shipped rules, Alertmanager with the shipped routes, and a webhook. It then follows
// the runbook of the alert, and pushes the same figures to the receiver of the
// real OpenTelemetry Collector. It holds tests only, and is a module of its own so
// that it may need what the product does not.
package e2e
