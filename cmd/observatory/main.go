// Command observatory runs message handlers over Redis Streams and serves
// Prometheus metrics beside them.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
)

// The exit codes.
const (
	exitDone     = 0
	exitFailed   = 1
	exitWarnings = 2 // also wrong usage
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	cli := newCLI(stdout, stderr)
	command, err := cli.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "observatory: %v; try --help\n", err)
		return exitWarnings
	}
	if cli.helped {
		return exitDone
	}
	switch command {
	case "version":
		if err := app.Build().Print(stdout, cli.json); err != nil {
			return exitFailed
		}
		return exitDone
	case "check":
		return check(cli.options(stderr), cli.json, stdout, stderr)
	default:
		return serve(cli.options(stderr), stderr)
	}
}

// serve runs until a signal comes. A second signal does not wait.
func serve(o app.Options, stderr io.Writer) int {
	a, err := app.New(context.Background(), o)
	if err != nil {
		return exitOf(err, stderr)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	for stopping := false; ; {
		select {
		case err := <-done:
			a.Logger().Info("stopped")
			return exitOf(err, stderr)
		case s := <-signals:
			if stopping {
				a.Logger().Error("second signal: leaving at once", "signal", s.String())
				return exitFailed
			}
			stopping = true
			announce(a.Logger(), s)
			stop()
		}
	}
}

func announce(log *slog.Logger, s os.Signal) {
	if s == syscall.SIGHUP {
		log.Warn("SIGHUP stops the engine; it does not reload the configuration", "signal", s.String())
		return
	}
	log.Info("stopping; a second signal leaves at once", "signal", s.String())
}

func exitOf(err error, stderr io.Writer) int {
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(stderr, "observatory: %v\n", err)
	return exitFailed
}

// check reports all that is wrong with a configuration.
func check(o app.Options, asJSON bool, stdout, stderr io.Writer) int {
	report, err := app.Check(o)
	if err != nil {
		fmt.Fprintf(stderr, "observatory: %v\n", err)
		return exitFailed
	}
	if err := report.Print(stdout, asJSON); err != nil {
		return exitFailed
	}
	switch {
	case report.Counts.Errors > 0:
		return exitFailed
	case report.Counts.Warnings > 0:
		return exitWarnings
	}
	return exitDone
}

// cli are the command line and its flags.
type cli struct {
	*kingpin.Application
	helped bool

	config    string
	embedded  bool
	listen    string
	health    string
	path      string
	webConfig string
	level     string
	format    string
	json      bool
}

func newCLI(stdout, stderr io.Writer) *cli {
	c := &cli{Application: kingpin.New("observatory", "Runs message handlers over Redis Streams and serves Prometheus metrics beside them.")}
	c.UsageWriter(stdout).ErrorWriter(stderr).Terminate(func(int) { c.helped = true })
	c.HelpFlag.Short('h')
	c.DefaultEnvars()
	c.Flag("log.level", "Least severe level that is logged: debug, info, warn, error. Default: the file's [logging] level, else info.").
		EnumVar(&c.level, "debug", "info", "warn", "error")
	c.Flag("log.format", "Format of the log: text or json. Default: the file's [logging] format, else text on a terminal and JSON elsewhere.").
		EnumVar(&c.format, "text", "json")

	serve := c.Command("serve", "Run the engine, health probes and /metrics.").Default()
	serve.Flag("config", "Configuration file. Default: the first of .domain.toml, domain.toml, pyproject.toml in this folder, its parent and its grandparent; none: the embedded sample.").
		PlaceHolder("PATH").StringVar(&c.config)
	serve.Flag("embedded", "Run the embedded sample on memory, whatever files lie around; bind loopback only.").
		BoolVar(&c.embedded)
	serve.Flag("web.listen-address", "Address of /metrics. Default: [observatory] listen_address, else 127.0.0.1:9000.").
		PlaceHolder("HOST:PORT").StringVar(&c.listen)
	serve.Flag("health.listen-address", "Address of the health probes. Default: [server.health], else 0.0.0.0:8080; the sample binds 127.0.0.1:8080.").
		PlaceHolder("HOST:PORT").StringVar(&c.health)
	serve.Flag("web.telemetry-path", "Path of the metrics.").Default("/metrics").StringVar(&c.path)
	serve.Flag("web.config.file", "File with TLS and authentication for /metrics, in the Prometheus exporters' format.").
		PlaceHolder("PATH").StringVar(&c.webConfig)

	check := c.Command("check", "Report all that is wrong with a configuration: exit code 0 clean, 1 errors, 2 warnings.")
	check.Flag("config", "Configuration file; default as for serve.").PlaceHolder("PATH").Envar("OBSERVATORY_CONFIG").StringVar(&c.config)
	check.Flag("json", "Print JSON.").BoolVar(&c.json)

	version := c.Command("version", "Print version and build information.")
	version.Flag("json", "Print JSON.").BoolVar(&c.json)
	return c
}

func (c *cli) options(stderr io.Writer) app.Options {
	return app.Options{
		ConfigPath: c.config, Embedded: c.embedded,
		ListenAddress: c.listen, HealthAddress: c.health, TelemetryPath: c.path, WebConfigFile: c.webConfig,
		LogLevel: c.level, LogFormat: c.format,
		Stderr: stderr,
	}
}
