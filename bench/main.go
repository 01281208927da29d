// Command bench measures how fast messages are consumed, decoded, handled and
// acknowledged: by our engine, by a bare go-redis loop, and by peers, side by
// side in one run. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
)

// options are the flags.
type options struct {
	messages   int
	rounds     int
	samples    int
	idle       int
	only       []string
	markdown   bool
	json       bool
	verbose    bool
	cpuprofile string
}

func main() {
	if os.Getenv(applicationVariable) != "" {
		if err := beApplication(); err != nil {
			fmt.Fprintln(os.Stderr, "bench: application:", err)
			os.Exit(1)
		}
		return
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	var only string
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.IntVar(&o.messages, "messages", 100_000, "messages a turn; those that pay a round trip a message get a tenth")
	fs.IntVar(&o.rounds, "rounds", 5, "turns of each contestant")
	fs.IntVar(&o.samples, "latency", 500, "publishes of the latency table; 0 leaves it out")
	fs.IntVar(&o.idle, "idle", 5, "seconds of silence in which 1,000 idle subscriptions are measured; 0 leaves them out")
	fs.StringVar(&only, "only", "", "contestants, comma-separated; the bare loop always runs along")
	fs.BoolVar(&o.markdown, "markdown", false, "print Markdown tables")
	fs.BoolVar(&o.json, "json", false, "print JSON, every turn included")
	fs.BoolVar(&o.verbose, "v", false, "log each turn to standard error")
	fs.StringVar(&o.cpuprofile, "cpuprofile", "", "profile the one contestant named by --only, alone, into this file")
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
	if o.messages < 1 {
		errs = append(errs, fmt.Errorf("--messages must be positive, got %d", o.messages))
	}
	if o.rounds < 1 {
		errs = append(errs, fmt.Errorf("--rounds must be positive, got %d", o.rounds))
	}
	if o.samples < 0 {
		errs = append(errs, fmt.Errorf("--latency must not be negative, got %d", o.samples))
	}
	if o.idle < 0 {
		errs = append(errs, fmt.Errorf("--idle must not be negative, got %d", o.idle))
	}
	if o.cpuprofile != "" && len(o.only) != 1 {
		errs = append(errs, errors.New("--cpuprofile needs exactly one contestant: name it with --only"))
	}
	if o.markdown && o.json {
		errs = append(errs, errors.New("--markdown and --json exclude each other"))
	}
	return errors.Join(errs...)
}

// run starts a server, measures, and prints.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	s, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	c, err := newContest(ctx, s, o.messages, o.logger())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	a, err := startApplication()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	c.application = a.url
	r, err := measure(ctx, c, o)
	if err != nil {
		return err
	}
	if r.Machine.Redis, err = s.version(ctx); err != nil {
		return err
	}
	return r.write(out, o)
}

func (r report) write(out io.Writer, o options) error {
	switch {
	case o.json:
		return r.json(out)
	case o.markdown:
		return r.print(out, markdown)
	default:
		return r.print(out, plain)
	}
}

func measure(ctx context.Context, c *contest, o options) (report, error) {
	r := report{Rounds: o.rounds, Machine: machine{
		Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(),
	}}
	competing, err := c.lineUp(ctx, o)
	if err != nil {
		return r, err
	}
	if err := c.warm(ctx, competing); err != nil {
		return r, err
	}
	scores, err := profiled(o.cpuprofile, func() ([]score, error) { return c.race(ctx, competing, o.rounds) })
	if err != nil {
		return r, err
	}
	consuming, delivering := split(scores)
	r.Throughput, r.Delivery = summarise(consuming, bareName), summarise(delivering, httpBareName)
	if idle := idlers(competing); o.samples > 0 && o.cpuprofile == "" {
		if r.Latency, err = c.latency(ctx, idle, o.samples); err != nil {
			return r, err
		}
	}
	if o.idle > 0 && o.cpuprofile == "" {
		r.Idle, err = c.idle(ctx, o.idle, o.samples)
	}
	return r, err
}

// lineUp is who competes under these options.
func (c *contest) lineUp(ctx context.Context, o options) ([]contestant, error) {
	competing, err := choose(field(asynqConcurrencies[0]), o.only)
	if err != nil {
		return nil, err
	}
	if o.cpuprofile != "" && o.only[0] != bareName {
		competing = competing[1:]
	}
	for i := range competing {
		if competing[i].Name != asynqName {
			continue
		}
		concurrency, err := c.bestAsynq(ctx)
		if err != nil {
			return nil, err
		}
		competing[i] = asynqContestant(concurrency)
	}
	return competing, nil
}

// profiled runs fn under the CPU profiler where a file is named.
func profiled(path string, fn func() ([]score, error)) (_ []score, err error) {
	if path == "" {
		return fn()
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	defer pprof.StopCPUProfile()
	return fn()
}

func (o options) logger() *slog.Logger {
	if !o.verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}
