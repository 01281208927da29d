package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// startLimit is how long a server or a replica may take until it answers, and
// stopLimit until it is gone after a signal.
const (
	startLimit = 30 * time.Second
	stopLimit  = 60 * time.Second
)

// process is a program that runs, its output going to a file.
type process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{} // closed when it is gone; err is set then
	err   error
}

// launch starts a program with variables added to the environment. The caller
// ends it.
func launch(log string, environment []string, program string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{cmd: exec.Command(program, args...), log: log, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(os.Environ(), environment...)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("%s to process %d: %w (its output: %s)", s, p.pid(), err, p.log)
	}
	return nil
}

// end sends a signal and waits until the process is gone. Ended by SIGKILL, or
// with 0 by another, is as it should be.
func (p *process) end(s syscall.Signal) error {
	if err := p.signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("process %d did not end within %s of %s (its output: %s)", p.pid(), stopLimit, s, p.log)
	}
	if p.err != nil && s != syscall.SIGKILL {
		return fmt.Errorf("process %d ended badly after %s: %w (its output: %s)", p.pid(), s, p.err, p.log)
	}
	return nil
}

// await polls until ready answers without an error, the process ends, or
// startLimit is over.
func (p *process) await(ctx context.Context, ready func() error) error {
	deadline := time.After(startLimit)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("process %d ended at start: %w (its output: %s)", p.pid(), p.err, p.log)
		case <-deadline:
			return fmt.Errorf("process %d is not ready after %s: %w (its output: %s)", p.pid(), startLimit, err, p.log)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// freeAddress is a loopback address that was free a moment ago.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// probe asks a probe once, and returns the time at which it says it answered.
func probe(url string) (time.Time, error) {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return time.Time{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return time.Time{}, fmt.Errorf("%s answered %s", url, response.Status)
	}
	return http.ParseTime(response.Header.Get("Date"))
}
