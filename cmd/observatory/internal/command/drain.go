package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
)

func addDrain(line *kingpin.Application, shared *flags) (name string, run func() int) {
	d := drain{flags: shared}
	c := line.Command("drain", "Stop the engine that runs on this machine from taking new messages, and leave it alive: readiness is then 503, and calls under way go on. "+
		"A container's preStop hook calls it, so that nothing is delivered to an application that ends. "+
		"Exit code 1 where no engine answers, or where calls are still under way after --wait.")
	shared.addConfig(c, "Configuration file, whose [server.health] says where the engine answers; default as for serve.")
	c.Flag("health.listen-address", "Address of the engine's health probes, where serve was given it.").
		PlaceHolder("HOST:PORT").SetValue(&choice{"health.listen-address", &shared.options.HealthAddress, anAddress, isAddress})
	c.Flag("wait", "How long to wait until no call is under way, as 30s; at most 1h. Default: not at all.").PlaceHolder("DURATION").SetValue(&wait{&d.wait})
	c.Flag("undo", "Let it take messages again.").SetValue(&toggle{"undo", &d.undo})
	shared.addJSON(c)
	return c.FullCommand(), func() int { return shared.exitOf(d.run()) }
}

// wait is a flag that takes how long an engine may be asked to wait.
type wait struct{ to *time.Duration }

func (w *wait) String() string { return w.to.String() }

func (w *wait) Set(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 || v > time.Hour {
		return errorOf("wait", text, "a duration from 0s to 1h, such as 30s")
	}
	*w.to = v
	return nil
}

type drain struct {
	*flags
	wait time.Duration
	undo bool
}

// drained is what the engine answers.
type drained struct {
	Status   string `json:"status"`
	PID      int    `json:"pid"`
	InFlight int    `json:"in_flight"`
	Error    string `json:"error,omitempty"`
}

func (d *drain) run() error {
	address, err := d.address()
	if err != nil {
		return err
	}
	target := url.URL{Scheme: "http", Host: address, Path: "/drainz"}
	method := http.MethodPost
	if d.undo {
		method = http.MethodDelete
	} else if d.wait != 0 {
		target.RawQuery = url.Values{"wait": {d.wait.String()}}.Encode()
	}
	const margin = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), max(d.wait, 0)+margin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		return err
	}
	// A proxy of the environment is for other machines.
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return fmt.Errorf("no engine answers on %s: %w; [server.health] of --config, or --health.listen-address, says where it does", address, errors.Unwrap(err))
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("the engine's answer on %s: %w", address, err)
	}
	var got drained
	if err := json.Unmarshal(text, &got); err != nil || got.Error != "" || got.Status == "" {
		return fmt.Errorf("what answers on %s does not drain: %s %s", address, answer.Status, got.Error)
	}
	if err := d.print(got, func() string { return got.text() }); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%d of its calls are still under way after %s", got.InFlight, d.wait)
	}
	return nil
}

func (d drained) text() string {
	if d.Status != "draining" {
		return fmt.Sprintf("Process %d takes messages again.\n", d.PID)
	}
	return fmt.Sprintf("Process %d takes no new messages; calls under way: %d.\n", d.PID, d.InFlight)
}

// address is where the engine of this machine answers probes.
func (d *drain) address() (string, error) {
	address := d.options.HealthAddress
	if address == "" {
		taken, err := app.LoadConfiguration(d.options)
		if err != nil {
			return "", err
		}
		if !taken.Health.Enabled {
			return "", fmt.Errorf("%s: [server.health] enabled is false: the engine cannot be asked to drain", taken.Path)
		}
		address = net.JoinHostPort(taken.Health.Host, strconv.Itoa(taken.Health.Port))
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if port == "0" {
		return "", errors.New("the port of the health probes is 0, a free one: give the one that serve has printed by --health.listen-address")
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip.Equal(net.IPv6unspecified):
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}
