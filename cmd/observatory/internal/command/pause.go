package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/operate"
)

// changeTimeout is how long the servers have to take a change.
const changeTimeout = 10 * time.Second

// change is a pause, or its end, as the command line asks for it.
type change struct {
	verb, done, already string
	handler, by, reason string
	do                  func(o *app.Operator, ctx context.Context, handler, by, reason string) ([]operate.Change, error)
}

func addPause(line *kingpin.Application, shared *flags) (name string, run func() int) {
	pause := &change{verb: "pause", done: "paused", already: "is paused already", do: func(o *app.Operator, ctx context.Context, handler, by, reason string) ([]operate.Change, error) {
		return o.Pause(ctx, handler, by, reason)
	}}
	c := line.GetCommand("subscriptions").Command("pause", "Pause a handler in all processes that run it, until it is resumed, restarts included. "+
		"Within two seconds no further call begins; what is under way finishes, and messages wait where they are.")
	c.Flag("reason", "Why, for those who find it paused.").Required().StringVar(&pause.reason)
	return pause.add(c, shared)
}

func addResume(line *kingpin.Application, shared *flags) (name string, run func() int) {
	resume := &change{verb: "resume", done: "resumed", already: "is not paused", do: func(o *app.Operator, ctx context.Context, handler, by, reason string) ([]operate.Change, error) {
		return o.Resume(ctx, handler, by, reason)
	}}
	c := line.GetCommand("subscriptions").Command("resume", "Resume a handler that was paused: within two seconds all processes that run it go on.")
	c.Flag("reason", "Why, for the log of those processes.").StringVar(&resume.reason)
	return resume.add(c, shared)
}

// add adds what both commands take.
func (ch *change) add(c *kingpin.CmdClause, shared *flags) (name string, run func() int) {
	c.Arg("handler", "The handler, by its full or its short name: all of its subscriptions.").Required().StringVar(&ch.handler)
	c.Flag("by", "Who does it; default is this user and machine.").StringVar(&ch.by)
	shared.addConfig(c, "Configuration file; default as for serve.")
	shared.addJSON(c)
	return c.FullCommand(), func() int { return shared.exitOf(ch.run(shared)) }
}

func (ch *change) run(f *flags) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	operator, err := app.OpenOperator(ctx, f.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, operator.Close()) }()
	config := operator.Configuration
	if f.options.ConfigPath == "" {
		fmt.Fprintf(f.stderr, "observatory: configuration %s (%s)\n", config.Path, config.Origin)
	}
	if operator.InMemory {
		return fmt.Errorf("cannot %s %q: its broker is in the memory of the process that serves it, and no other reaches it; "+
			"a program does it itself, by the package engine/operate", ch.verb, ch.handler)
	}
	changes, err := ch.do(operator, ctx, ch.handler, cmp.Or(strings.TrimSpace(ch.by), whoRuns()), ch.reason)
	if err != nil {
		return err
	}
	if err := f.print(jsonOfChanges(changes), func() string { return ch.text(changes) }); err != nil {
		return err
	}
	var failed []error
	for _, c := range changes {
		if c.Err != nil {
			failed = append(failed, fmt.Errorf("cannot %s %s on %s: %w", ch.verb, c.Handler, c.Stream, c.Err))
		}
	}
	return errors.Join(failed...)
}

// whoRuns is this process' user and machine.
func whoRuns() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}

// text is a line for each subscription for which it worked.
func (ch *change) text(changes []operate.Change) string {
	var b strings.Builder
	for _, c := range changes {
		switch {
		case c.Err != nil:
		case c.Changed:
			fmt.Fprintf(&b, "%s on %s (group %s) %s by %s\n", c.Handler, c.Stream, c.Group, ch.done, printable(c.State.By))
		case c.State.Paused:
			held := collector.Pause{By: c.State.By, At: c.State.At, Reason: c.State.Reason}
			fmt.Fprintf(&b, "%s on %s (group %s) %s, %s\n", c.Handler, c.Stream, c.Group, ch.already, pausedText(&held))
		default:
			fmt.Fprintf(&b, "%s on %s (group %s) %s\n", c.Handler, c.Stream, c.Group, ch.already)
		}
	}
	return b.String()
}

// jsonChange is one change as JSON; the error is "" where there is none, and the time
// null where it is not known.
type jsonChange struct {
	Handler string     `json:"handler"`
	Stream  string     `json:"stream"`
	Group   string     `json:"group"`
	Changed bool       `json:"changed"`
	Paused  bool       `json:"paused"`
	By      string     `json:"by"`
	At      *time.Time `json:"at"`
	Reason  string     `json:"reason"`
	Error   string     `json:"error"`
}

func jsonOfChanges(changes []operate.Change) []jsonChange {
	all := make([]jsonChange, len(changes))
	for i, c := range changes {
		all[i] = jsonChange{
			Handler: c.Handler, Stream: c.Stream, Group: c.Group, Changed: c.Changed,
			Paused: c.State.Paused, By: c.State.By, Reason: c.State.Reason,
		}
		if !c.State.At.IsZero() {
			all[i].At = &c.State.At
		}
		if c.Err != nil {
			all[i].Error = c.Err.Error()
		}
	}
	return all
}
