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
	"github.com/observatory-go/observatory/engine/subscription"
)

// answerTimeout is how long the servers have to answer a command that reads.
const answerTimeout = 2 * time.Second

func addSubscriptions(line *kingpin.Application, shared *flags) (name string, run func() int) {
	var handler string
	var settings bool
	c := line.Command("subscriptions", "List the subscriptions of the file's handlers, pause one, or resume it.").
		Command("list", "List the subscriptions of the file's handlers with what they have left to do, as the configured servers report it: "+
			"lag (entries not yet given to the group; ~ marks an estimate), pending (given and not acknowledged), "+
			"oldest (the age of the oldest entry that is either), and dead letters (of the stream, from all of its handlers). "+
			"- is a figure that is not known. Handlers that a Go program registers are not listed. "+
			"Exit code 1 where a server does not answer within 2 s.").Default()
	c.Arg("handler", "List this handler only, with its settings.").StringVar(&handler)
	shared.addConfig(c, "Configuration file; default as for serve.")
	c.Flag("settings", "Show each setting, its value and where the value comes from.").SetValue(&toggle{"settings", &settings})
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
		return "No subscriptions: the file has no handlers; add [observatory.handlers.<name>] to it. Handlers that a Go program registers are not listed.\n"
	}
	if !settings {
		return strings.Join(overview(list, width), "\n") + "\n"
	}

	var b strings.Builder
	for i, s := range list.Subscriptions {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(s.Handler + "\n")
		for _, line := range [][2]string{
			{"stream", s.Stream},
			{"group", s.Group},
			{"type", s.Type},
			{"lag", lag(s)},
			{"pending", figure(s.Pending)},
			{"oldest", seconds(s.OldestUnfinishedSeconds)},
			{"dead letters", figure(s.DeadLetters)},
			{"note", note(s)},
			{"paused", pausedText(s.Pause)},
		} {
			if line[1] != "" {
				fmt.Fprintf(&b, "    %-12s  %s\n", line[0], line[1])
			}
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

// overview is a line for each subscription. Handlers have their short names, as
// alerts and metrics have them, unless two have the same; groups are there where
// they are not the handler's full name.
func overview(list *operate.List, width int) []string {
	columns := table{
		{text: "HANDLER", name: true},
		{text: "STREAM", name: true},
		{text: "GROUP", name: true},
		{text: "TYPE"},
		{text: "LAG", number: true},
		{text: "PENDING", number: true},
		{text: "OLDEST", number: true},
		{text: "DEAD LETTERS", number: true},
		{text: "NOTE"},
	}
	handlers := map[string]string{} // full names, by their short ones
	for _, s := range list.Subscriptions {
		short := subscription.ShortName(s.Handler)
		if other, has := handlers[short]; has && other != s.Handler {
			handlers[short] = ""
			continue
		}
		handlers[short] = s.Handler
	}
	var rows [][]string
	for _, s := range list.Subscriptions {
		name, group := subscription.ShortName(s.Handler), s.Group
		if handlers[name] == "" {
			name = s.Handler
		}
		if group == s.Handler {
			group = ""
		}
		rows = append(rows, []string{
			name, s.Stream, group, s.Type, lag(s), figure(s.Pending), seconds(s.OldestUnfinishedSeconds), figure(s.DeadLetters), note(s),
		})
	}
	lines := columns.withoutEmpty(rows, width)
	for i, s := range list.Subscriptions {
		if s.Pause != nil {
			lines = append(lines, rows[i][0]+" on "+s.Stream+" is paused "+pausedText(s.Pause))
		}
	}
	return lines
}

// note is what else is to be known of a subscription in a word or two.
func note(s operate.Listed) string {
	if s.Pause == nil {
		return string(s.Missing)
	}
	if s.Missing != "" {
		return "paused, " + string(s.Missing)
	}
	return "paused"
}

// pausedText says by whom, since when and why a subscription is paused; "" where it is
// not.
func pausedText(p *collector.Pause) string {
	if p == nil {
		return ""
	}
	since := "an unknown time"
	if !p.At.IsZero() {
		since = p.At.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("by %s since %s: %s", orUnknown(printable(p.By)), since, orUnknown(printable(p.Reason)))
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

func lag(s operate.Listed) string {
	if s.LagExact == collector.Known(0) {
		return "~" + figure(s.Lag)
	}
	return figure(s.Lag)
}

// seconds is an age: below ten seconds with a fraction.
func seconds(v collector.Value) string {
	switch {
	case !v.Known:
		return "-"
	case v.V > 0 && v.V < 10:
		return strconv.FormatFloat(v.V, 'f', 1, 64) + "s"
	}
	return strconv.FormatFloat(v.V, 'f', 0, 64) + "s"
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
		LagSeconds  *float64      `json:"lag_seconds"`
		Pending     *float64      `json:"pending"`
		Oldest      *float64      `json:"oldest_unfinished_seconds"`
		DeadLetters *float64      `json:"dead_letters"`
		Missing     string        `json:"missing"`
		Paused      *jsonPause    `json:"paused"`
		Settings    []jsonSetting `json:"settings"`
	}
	jsonPause struct {
		By     string     `json:"by"`
		Since  *time.Time `json:"since"`
		Reason string     `json:"reason"`
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
			Lag: number(s.Lag), LagSeconds: number(s.LagSeconds), Pending: number(s.Pending), Oldest: number(s.OldestUnfinishedSeconds),
			DeadLetters: number(s.DeadLetters), Missing: string(s.Missing), Settings: []jsonSetting{},
		}
		if s.Pause != nil {
			row.Paused = &jsonPause{By: s.Pause.By, Reason: s.Pause.Reason}
			if !s.Pause.At.IsZero() {
				row.Paused.Since = &s.Pause.At
			}
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
