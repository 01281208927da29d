// Command chaos breaks things under load and counts what became of each message:
// real servers, real processes, and faults from `kill -9` to a clock that jumps.
// See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	seed    uint64
	rate    int
	seconds int
	work    time.Duration
	claim   time.Duration
	only    []string
	history string
	list    bool
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	held := false
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		held, err = run(ctx, o, os.Stdout, os.Stderr)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if err != nil || !held {
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	var only string
	fs := flag.NewFlagSet("chaos", flag.ContinueOnError)
	fs.Uint64Var(&o.seed, "seed", 1, "what is left to chance (whom a fault hits, and when) follows from it")
	fs.IntVar(&o.rate, "rate", 2000, "messages published a second")
	fs.IntVar(&o.seconds, "seconds", 0, "length of the load; 0 is each scenario's own")
	fs.DurationVar(&o.work, "work", 4*time.Millisecond, "how long the application takes for a call")
	fs.DurationVar(&o.claim, "claim", 5*time.Second, "claim_idle_seconds of the replicas")
	fs.StringVar(&only, "only", "", "scenarios, comma-separated; none is all")
	fs.StringVar(&o.history, "history", "", "folder for the histories and the logs of the replicas (default: a new temporary one)")
	fs.BoolVar(&o.list, "list", false, "list the scenarios and end")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	return o, o.validate()
}

func (o options) validate() error {
	var errs []error
	if o.rate < 1 || o.rate > 100_000 {
		errs = append(errs, fmt.Errorf("--rate must be 1 to 100000, got %d", o.rate))
	}
	if o.seconds < 0 {
		errs = append(errs, fmt.Errorf("--seconds must not be negative, got %d", o.seconds))
	}
	if o.work < 0 {
		errs = append(errs, fmt.Errorf("--work must not be negative, got %s", o.work))
	}
	if o.claim < time.Second {
		errs = append(errs, fmt.Errorf("--claim must be at least 1s, got %s", o.claim))
	}
	_, err := choose(o.only)
	return errors.Join(append(errs, err)...)
}

// run plays the scenarios one after the other, and says whether all bounds held.
// What it prints to progress is for a person who waits.
func run(ctx context.Context, o options, out, progress io.Writer) (bool, error) {
	scenarios, err := choose(o.only)
	if err != nil {
		return false, err
	}
	if o.list {
		for _, s := range scenarios {
			fmt.Fprintf(out, "%-16s %s\n", s.name, s.about)
		}
		return true, nil
	}
	if o.history == "" {
		if o.history, err = os.MkdirTemp("", "chaos-"); err != nil {
			return false, err
		}
	}
	if o.history, err = filepath.Abs(o.history); err != nil {
		return false, err
	}
	programs, err := build(ctx, scenarios, progress)
	if err != nil {
		return false, err
	}
	defer programs.remove()
	var results []result
	for _, s := range scenarios {
		fmt.Fprintf(progress, "%s: %s\n", s.name, s.about)
		began := time.Now()
		r, err := play(ctx, s, o, programs)
		if err != nil {
			return false, fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(progress, "%s: %s in %s\n", s.name, r.summary(), time.Since(began).Round(time.Second))
		results = append(results, r)
	}
	return printResults(out, o, results), nil
}
