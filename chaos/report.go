package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// summary says in a word whether the bounds held.
func (r result) summary() string {
	if len(r.broken) == 0 {
		return fmt.Sprintf("%d messages, all bounds held,", r.counts.ok)
	}
	return "BROKEN: " + strings.Join(r.broken, "; ") + ";"
}

// printResults prints the table, what does not hold, and where the histories are.
// It says whether everything held.
func printResults(out io.Writer, o options, results []result) bool {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "SCENARIO\tOK\tFAILED\tUNKNOWN\tFAULTS\tLOST\tREDIS\tREPEATED\tOF\tLONGEST\tFLOW\tDEAD\tORDER\t")
	held := true
	for _, r := range results {
		c := r.counts
		of := c.inFlight
		if r.scenario.bounds.once {
			of = 0
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.2fs\t%.2fs\t%d\t%d\t\n", r.scenario.name,
			c.ok, c.failed, c.unknown, c.faults, c.lost, c.lostByRedis, c.repeated, of,
			c.longest.Seconds(), c.flow.Seconds(), r.deadLetters, c.violations)
		held = held && len(r.broken) == 0
	}
	_ = table.Flush()
	fmt.Fprintf(out, "\n%d messages/s offered, seed %d, claim_idle_seconds %g. Must be 0: LOST, DEAD, ORDER.\n"+
		"REPEATED: at most OF, what was in flight at the faults. REDIS: confirmed by Redis, and lost by it.\n"+
		"LONGEST: from confirmed to handled, of any message. FLOW: nothing handled, though something waited.\n",
		o.rate, o.seed, o.claim.Seconds())
	for _, r := range results {
		for _, line := range r.broken {
			fmt.Fprintf(out, "BROKEN  %s: %s\n", r.scenario.name, line)
		}
	}
	fmt.Fprintf(out, "Histories and logs: %s\n", o.history)
	return held
}
