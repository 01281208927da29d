package main

import "fmt"

// What the reader chose. A figure of a process (its collector, its build) has no
// domain.
const (
	ofDomain  = `job=~"$job", instance=~"$instance", domain=~"$domain"`
	ofProcess = `job=~"$job", instance=~"$instance"`
)

// shared takes a figure that every replica reports alike, once.
func shared(metric string) string {
	return fmt.Sprintf("max without (instance, pod) (%s{%s})", metric, ofDomain)
}

// sharedRate is the rate of a counter that every replica reports alike.
func sharedRate(counter string) string {
	return fmt.Sprintf("max without (instance, pod) (rate(%s{%s}[$__rate_interval]))", counter, ofDomain)
}

// own puts together a gauge of which each process has its part.
func own(aggregate, labels, metric string) string {
	return fmt.Sprintf("%s by (%s) (%s{%s})", aggregate, labels, metric, ofDomain)
}

// ofEachProcess is a gauge of each process that belongs to no domain.
func ofEachProcess(aggregate, labels, metric string) string {
	return fmt.Sprintf("%s by (%s) (%s{%s})", aggregate, labels, metric, ofProcess)
}

// rate adds up the rates of a counter of which each process has its part.
// Further matchers begin with a comma.
func rate(labels, counter, matchers string) string {
	return fmt.Sprintf("sum by (%s) (rate(%s{%s%s}[$__rate_interval]))", labels, counter, ofDomain, matchers)
}

// increase is how much a counter grew, over all processes.
func increase(labels, counter string) string {
	return fmt.Sprintf("sum by (%s) (increase(%s{%s}[$__rate_interval]))", labels, counter, ofDomain)
}

// quantiles are the median, the slow and the slowest of a histogram's figures,
// for each handler.
func quantiles(histogram string) []query {
	var queries []query
	for _, q := range []struct{ name, value string }{{"p50", "0.5"}, {"p95", "0.95"}, {"p99", "0.99"}} {
		queries = append(queries, query{
			expr:   fmt.Sprintf("histogram_quantile(%s, %s)", q.value, rate("le, handler", histogram+"_bucket", "")),
			legend: "{{handler}} " + q.name,
		})
	}
	return queries
}
