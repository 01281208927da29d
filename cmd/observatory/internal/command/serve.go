package command

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/engine/config"
)

func addServe(line *kingpin.Application, shared *flags) (name string, run func() int) {
	o := &shared.options
	c := line.Command("serve", "Run the engine, health probes and /metrics.").Default()
	shared.addConfig(c, "Configuration file. Default: the first of .domain.toml, domain.toml, pyproject.toml in this folder, its parent and its grandparent; none: the embedded sample.")
	c.Flag("embedded", "Run the embedded sample on memory, whether there is a configuration file or not; bind loopback only.").
		SetValue(&toggle{"embedded", &o.Embedded})
	c.Flag("web.listen-address", "Address of /metrics. Default: [observatory] listen_address, else 127.0.0.1:9000.").
		PlaceHolder("HOST:PORT").SetValue(&choice{"web.listen-address", &o.ListenAddress, anAddress, isAddress})
	c.Flag("health.listen-address", "Address of the health probes. Default: [server.health], else 0.0.0.0:8080; the sample binds 127.0.0.1:8080.").
		PlaceHolder("HOST:PORT").SetValue(&choice{"health.listen-address", &o.HealthAddress, anAddress, isAddress})
	c.Flag("web.telemetry-path", "Path of the metrics.").Default("/metrics").
		SetValue(&choice{"web.telemetry-path", &o.TelemetryPath, "a path such as /metrics, of letters, digits and -._~/", isPath})
	c.Flag("web.config.file", "File with TLS and authentication for /metrics, in the Prometheus exporters' format.").
		PlaceHolder("PATH").StringVar(&o.WebConfigFile)

	return c.FullCommand(), func() int { return serve(shared) }
}

const anAddress = "an address such as 127.0.0.1:9000, the port a number"

func isAddress(text string) bool { return config.CheckAddress(text) == nil }

// isPath reports whether a text is a path that requests arrive at as it is.
func isPath(text string) bool {
	rooted := "/" + strings.TrimPrefix(text, "/")
	plain := regexp.MustCompile(`^[A-Za-z0-9._~/-]*$`).MatchString(text)
	return plain && (rooted == path.Clean(rooted) || rooted == path.Clean(rooted)+"/")
}

// oneSignal is how long the same signal again is still the first one:
// supervisors and timeout(1) send it to a process and then to its group.
const oneSignal = time.Second

// serve runs until a signal comes. A second signal ends it without waiting.
func serve(f *flags) int {
	// The default for a closed standard output or error is to kill the process,
	// and its handlers with it. A write that fails is an error like any other.
	signal.Ignore(syscall.SIGPIPE)
	a, err := app.New(context.Background(), f.options)
	if err != nil {
		return f.exitOf(err)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var first os.Signal
	var since time.Time // of the first signal
	for {
		select {
		case err := <-done:
			if err == nil {
				a.Logger().Info("stopped")
			}
			return f.exitOf(err)
		case s := <-signals:
			switch {
			case first == nil:
				first, since = s, time.Now()
				logStop(a.Logger(), s)
				stop()
			case s != first || time.Since(since) >= oneSignal:
				a.Logger().Error("second signal: leaving at once", "signal", s.String())
				return exitFailed
			}
		}
	}
}

func logStop(log *slog.Logger, s os.Signal) {
	if s == syscall.SIGHUP {
		log.Warn("SIGHUP stops the engine; it does not reload the configuration", "signal", s.String())
		return
	}
	log.Info("stopping; a second signal leaves at once", "signal", s.String())
}
