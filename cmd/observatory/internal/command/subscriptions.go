package command

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/operate"
)

// answerTimeout is how long the servers have to answer a command that reads.
const answerTimeout = 2 * time.Second

func addSubscriptions(line *kingpin.Application, shared *flags) (name string, run func() int) {
	var handler string
	var settings bool
	c := line.Command("subscriptions", "List the subscriptions with what they have left to do, as the configured servers report it: "+
		"lag (entries not yet given to the group; ~ marks an estimate), pending (given and not acknowledged), "+
		"and dead letters (of the stream, from all of its handlers). - is a figure that is not known. "+
		"Exit code 1 where a server does not answer within 2 s.")
	c.Arg("handler", "List this handler only, with its settings.").StringVar(&handler)
	shared.addConfig(c, "Configuration file; default as for serve.")
	c.Flag("settings", "Show each setting, its value and where the value comes from.").BoolVar(&settings)
	shared.addJSON(c)
	return c.FullCommand(), func() int {
		return shared.exitOf(listSubscriptions(shared, handler, settings))
	}
}

func listSubscriptions(f *flags, handler string, settings bool) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
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
		fmt.Fprintln(f.stderr, "observatory: its broker is in the memory of the process that serves it: there is no server to ask for lag, pending and dead letters")
	}
	list, err := operator.Subscriptions(ctx, handler)
	if err != nil {
		return err
	}
	width := 0
	if app.IsTerminal(f.stdout) {
		width = terminalWidth
	}
	if err := f.print(jsonOf(list), func() string { return listText(list, settings || handler != "" || operator.InMemory, width) }); err != nil {
		return err
	}
	var unread []error
	for _, failed := range list.Failed {
		text := strings.ReplaceAll(failed.Err.Error(), "\n", "; ")
		unread = append(unread, fmt.Errorf("%s could not be read: %s", failed.Source, text))
	}
	return errors.Join(unread...)
}

// listText is the list for people: a table, or where settings are asked for a
// block for each subscription, which shortens no name.
func listText(list *operate.List, settings bool, width int) string {
	if len(list.Subscriptions) == 0 {
		return "No subscriptions: the configuration has no handlers; add [observatory.handlers.<name>] to the file.\n"
	}
	columns := table{
		{text: "HANDLER", name: true},
		{text: "STREAM", name: true},
		{text: "GROUP", name: true},
		{text: "TYPE"},
		{text: "LAG", number: true},
		{text: "PENDING", number: true},
		{text: "DEAD LETTERS", number: true},
	}
	var rows [][]string
	for _, s := range list.Subscriptions {
		lag := figure(s.Lag)
		if s.LagExact == collector.Known(0) {
			lag = "~" + lag
		}
		rows = append(rows, []string{s.Handler, s.Stream, s.Group, s.Type, lag, figure(s.Pending), figure(s.DeadLetters)})
	}
	if !settings {
		return strings.Join(columns.lines(rows, width), "\n") + "\n"
	}

	var b strings.Builder
	for i, s := range list.Subscriptions {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(s.Handler + "\n")
		for c := 1; c < len(columns); c++ {
			fmt.Fprintf(&b, "    %-12s  %s\n", strings.ToLower(columns[c].text), rows[i][c])
		}
		b.WriteByte('\n')
		var values [][]string
		for _, set := range s.Settings {
			values = append(values, []string{set.Key, orDash(set.Value), orDash(set.Origin)})
		}
		for _, line := range (table{{text: "SETTING"}, {text: "VALUE"}, {text: "ORIGIN"}}).lines(values, 0) {
			b.WriteString("    " + line + "\n")
		}
	}
	return b.String()
}

func figure(v collector.Value) string {
	if !v.Known {
		return "-"
	}
	return strconv.FormatFloat(v.V, 'f', -1, 64)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// The list as JSON. Figures that are not known are null.
type (
	jsonList struct {
		Subscriptions []jsonSubscription `json:"subscriptions"`
		DeadLetters   []jsonQueue        `json:"dead_letter_queues"`
		Failed        []jsonFailure      `json:"failed"`
	}
	jsonSubscription struct {
		Handler     string        `json:"handler"`
		Stream      string        `json:"stream"`
		Group       string        `json:"group"`
		Type        string        `json:"type"`
		Lag         *float64      `json:"lag"`
		LagExact    *bool         `json:"lag_exact"`
		Pending     *float64      `json:"pending"`
		DeadLetters *float64      `json:"dead_letters"`
		Settings    []jsonSetting `json:"settings"`
	}
	jsonSetting struct {
		Key    string `json:"key"`
		Value  string `json:"value"`
		Origin string `json:"origin"`
	}
	jsonQueue struct {
		Stream string   `json:"stream"`
		Depth  *float64 `json:"depth"`
	}
	jsonFailure struct {
		Source string `json:"source"`
		Error  string `json:"error"`
	}
)

func jsonOf(list *operate.List) jsonList {
	number := func(v collector.Value) *float64 {
		if !v.Known {
			return nil
		}
		return &v.V
	}
	out := jsonList{Subscriptions: []jsonSubscription{}, DeadLetters: []jsonQueue{}, Failed: []jsonFailure{}}
	for _, s := range list.Subscriptions {
		row := jsonSubscription{
			Handler: s.Handler, Stream: s.Stream, Group: s.Group, Type: s.Type,
			Lag: number(s.Lag), Pending: number(s.Pending), DeadLetters: number(s.DeadLetters), Settings: []jsonSetting{},
		}
		if s.LagExact.Known {
			row.LagExact = new(s.LagExact.V == 1)
		}
		for _, set := range s.Settings {
			row.Settings = append(row.Settings, jsonSetting(set))
		}
		out.Subscriptions = append(out.Subscriptions, row)
	}
	for _, q := range list.DeadLetters {
		out.DeadLetters = append(out.DeadLetters, jsonQueue{Stream: q.Stream, Depth: number(q.Depth)})
	}
	for _, failed := range list.Failed {
		out.Failed = append(out.Failed, jsonFailure{Source: failed.Source, Error: failed.Err.Error()})
	}
	return out
}
