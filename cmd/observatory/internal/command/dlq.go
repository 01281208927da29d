package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kingpin/v2"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/operate"
)

// dlqFlags are what the commands of dead letters take.
type dlqFlags struct {
	*flags
	query                operate.Query
	reason, older, newer string
	limit                int
	dryRun, yes          bool
	rate                 float64
	broadcast            bool
	output               string
	noExport             bool
	args                 []string
}

// addDeadLetters adds the commands of dead letters, by their full names.
func addDeadLetters(line *kingpin.Application, shared *flags) map[string]func() int {
	parent := line.Command("dlq", "List, replay and remove dead letters on the configured servers. No running process is needed.")
	commands := map[string]func() int{}
	add := func(name, help string, run func(context.Context, *dlqFlags, *operate.DeadLetters) error) (*kingpin.CmdClause, *dlqFlags) {
		c, f := parent.Command(name, help), &dlqFlags{flags: shared}
		shared.addConfig(c, "Configuration file; default as for serve.")
		c.Flag("stream", "The stream whose queue is meant, also one of no handler in the file. Default: those of all handlers.").StringVar(&f.query.Stream)
		c.Flag("broker", "The broker whose queues are meant, by its name in the file. Default: that of the handlers; for a stream of none, the one that has such a queue.").PlaceHolder("NAME").StringVar(&f.query.Broker)
		commands[c.FullCommand()] = func() int { return f.run(run) }
		return c, f
	}

	c, f := add("list", "List dead letters, oldest first.", listDeadLetters)
	f.addFilter(c)
	c.Flag("limit", "Print so many at most. Default: all.").PlaceHolder("N").SetValue(&number{flag: "limit", to: &f.limit})
	shared.addJSON(c)

	c, f = add("inspect", "Show dead letters with their payload, by the id in the queue, of the message or of the original entry.", inspectDeadLetters)
	c.Arg("id", "Ids.").Required().StringsVar(&f.args)
	shared.addJSON(c)

	c, f = add("replay", "Deliver messages again, each to the group that gave it up and to no other, by ids as inspect takes them.", replayDeadLetters)
	c.Arg("id", "Ids.").Required().StringsVar(&f.args)
	f.addReplay(c)

	c, f = add("replay-all", "Deliver all messages again that fit the filter, each to the group that gave it up and to no other, in the order of the originals.", replayDeadLetters)
	f.addFilter(c)
	f.addReplay(c)

	c, f = add("export", "Write dead letters as JSON lines, byte for byte; import puts them back.", exportDeadLetters)
	f.addFilter(c)
	c.Flag("output", "The file to write, which must not exist. Default: standard output.").Short('o').PlaceHolder("PATH").StringVar(&f.output)

	c, f = add("import", "Put dead letters back that export or purge wrote. Those that are in their queue already are passed over.", importDeadLetters)
	c.Arg("file", "The file to read; - is standard input.").Required().StringsVar(&f.args)

	c, f = add("purge", "Delete dead letters, after they were exported to a file.", purgeDeadLetters)
	f.addFilter(c)
	f.addSure(c)
	c.Flag("output", "The file to export to, which must not exist. Default: dead-letters-<time>.jsonl in the working folder.").Short('o').PlaceHolder("PATH").StringVar(&f.output)
	c.Flag("no-export", "Delete without exporting: there is no way back.").SetValue(&toggle{"no-export", &f.noExport})

	c, f = add("trim", "Delete the dead letters that were added to the queues before a time.", trimDeadLetters)
	c.Flag("older-than", "How old they are: "+ages+".").PlaceHolder("AGE").Required().SetValue(&choice{"older-than", &f.older, ages, isAge})
	f.addSure(c)
	return commands
}

func (f *dlqFlags) addFilter(c *kingpin.CmdClause) {
	var reasons []string
	for _, r := range deadletter.Reasons {
		reasons = append(reasons, string(r))
	}
	expected := "one of " + strings.Join(reasons, ", ")
	c.Flag("handler", "Those of this handler, by its full or short name or its group.").StringVar(&f.query.Handler)
	c.Flag("reason", "Those with this reason: "+expected+".").SetValue(&choice{"reason", &f.reason, expected, func(text string) bool { return slices.Contains(reasons, text) }})
	c.Flag("type", "Those of this message type.").StringVar(&f.query.Type)
	c.Flag("error", "Those whose error contains this text, in either case.").StringVar(&f.query.Error)
	c.Flag("older-than", "Those given up longer ago: "+ages+".").PlaceHolder("AGE").SetValue(&choice{"older-than", &f.older, ages, isAge})
	c.Flag("newer-than", "Those given up since: "+ages+".").PlaceHolder("AGE").SetValue(&choice{"newer-than", &f.newer, ages, isAge})
	c.Flag("id", "Those with this id: of the message, of the original entry, or in the queue. It may be given again.").PlaceHolder("ID").StringsVar(&f.query.IDs)
}

func (f *dlqFlags) addSure(c *kingpin.CmdClause) {
	c.Flag("dry-run", "Say what would be done, and do nothing.").NoEnvar().SetValue(&toggle{"dry-run", &f.dryRun})
	c.Flag("yes", "Do not ask.").Short('y').NoEnvar().SetValue(&toggle{"yes", &f.yes})
	f.addJSON(c)
}

func (f *dlqFlags) addReplay(c *kingpin.CmdClause) {
	f.addSure(c)
	c.Flag("rate", "So many messages a second at most. Default: no limit.").PlaceHolder("N").SetValue(&rate{&f.rate})
	c.Flag("broadcast", "Where an original is gone from its stream and a copy is added, add it also where a group reads the stream whose engine is not known to be ours: it gets the copy too.").
		NoEnvar().SetValue(&toggle{"broadcast", &f.broadcast})
}

// run opens the dead letters of the configuration for one command. SIGINT and SIGTERM
// end it between two steps.
func (f *dlqFlags) run(do func(context.Context, *dlqFlags, *operate.DeadLetters) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	now := time.Now()
	f.query.Reason = deadletter.Reason(f.reason)
	if f.older != "" {
		f.query.Before = now.Add(-ageOf(f.older))
	}
	if f.newer != "" {
		f.query.Since = now.Add(-ageOf(f.newer))
	}
	return f.exitOf(f.open(ctx, do))
}

func (f *dlqFlags) open(ctx context.Context, do func(context.Context, *dlqFlags, *operate.DeadLetters) error) (err error) {
	operator, err := app.OpenOperator(ctx, f.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, operator.Close()) }()
	if f.options.ConfigPath == "" {
		fmt.Fprintf(f.stderr, "observatory: configuration %s (%s)\n", operator.Configuration.Path, operator.Configuration.Origin)
	}
	err = do(ctx, f, operator.DeadLetters)
	if ctx.Err() != nil {
		return errors.Join(errors.New("interrupted; run the command again for the rest"), err)
	}
	return err
}

// errEnough ends a listing at its limit.
var errEnough = errors.New("enough")

func listDeadLetters(ctx context.Context, f *dlqFlags, d *operate.DeadLetters) error {
	var all []operate.DeadLetter
	more := false
	err := d.Each(ctx, f.query, func(one operate.DeadLetter) error {
		if f.limit > 0 && len(all) == f.limit {
			more = true
			return errEnough
		}
		one.Fields = nil // a million of them are kept in memory
		all = append(all, one)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	leftOut := d.EventStoreHandlers()
	if len(leftOut) > 0 && !errors.Is(err, operate.ErrEventStore) {
		fmt.Fprintf(f.stderr, "observatory: not listed is what handlers of the event store gave up on, which is recorded there as Exhausted: %s\n", strings.Join(leftOut, ", "))
	}
	if errors.Is(err, operate.ErrEventStore) {
		return err
	}
	out := jsonDeadLetters{DeadLetters: []jsonDeadLetter{}, More: more, LeftOut: leftOut}
	for _, one := range all {
		out.DeadLetters = append(out.DeadLetters, jsonOfDeadLetter(one))
	}
	width := 0
	if app.IsTerminal(f.stdout) {
		width = terminalWidth
	}
	return errors.Join(f.print(out, func() string { return deadLettersText(all, more, time.Now(), width) }), err)
}

// deadLettersText is the list for people.
func deadLettersText(all []operate.DeadLetter, more bool, now time.Time, width int) string {
	if len(all) == 0 {
		return "No dead letters.\n"
	}
	columns := table{
		{text: "ID"},
		{text: "BROKER", name: true},
		{text: "STREAM", name: true},
		{text: "HANDLER", name: true},
		{text: "TYPE", name: true},
		{text: "REASON"},
		{text: "ATTEMPTS", number: true},
		{text: "AGE", number: true},
		{text: "ERROR", name: true},
	}
	oneStream := !slices.ContainsFunc(all, func(one operate.DeadLetter) bool { return one.Stream != all[0].Stream })
	oneBroker := !slices.ContainsFunc(all, func(one operate.DeadLetter) bool { return one.Broker != all[0].Broker })
	var rows [][]string
	for _, one := range all {
		stream, broker := one.Stream, one.Broker
		if oneBroker {
			broker = ""
		}
		if oneStream {
			stream = "" // the heading has it
		}
		rows = append(rows, []string{
			one.ID, broker, stream, orDash(one.ShortHandler()), orDash(one.Type), string(one.Metadata.Reason),
			strconv.Itoa(one.Metadata.RetryCount), age(now.Sub(one.At())), orDash(one.Metadata.FailureReason),
		})
	}
	var b strings.Builder
	if oneStream {
		fmt.Fprintf(&b, "Stream %s\n\n", printable(all[0].Stream))
	}
	for _, text := range columns.withoutEmpty(rows, width) {
		b.WriteString(text + "\n")
	}
	rest := ""
	if more {
		rest = "; there are more (--limit)"
	}
	fmt.Fprintf(&b, "\n%s%s\n", counted(len(all)), rest)
	return b.String()
}

func counted(n int) string {
	if n == 1 {
		return "1 dead letter"
	}
	return strconv.Itoa(n) + " dead letters"
}

// age is how long ago something was, in its largest unit.
func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// A dead letter as JSON.
type (
	jsonDeadLetters struct {
		DeadLetters []jsonDeadLetter `json:"dead_letters"`
		More        bool             `json:"more"`
		// LeftOut are the handlers of which there are none, since they read the event store.
		LeftOut []string `json:"left_out,omitempty"`
	}
	jsonDeadLetter struct {
		DeadLetter string      `json:"dead_letter"`
		Broker     string      `json:"broker"`
		Stream     string      `json:"stream"`
		Handler    string      `json:"handler"`
		Group      string      `json:"group"`
		Consumer   string      `json:"consumer"`
		OriginalID string      `json:"original_id"`
		MessageID  string      `json:"message_id"`
		Type       string      `json:"type"`
		Reason     string      `json:"reason"`
		Error      string      `json:"error"`
		Attempts   int         `json:"attempts"`
		At         *time.Time  `json:"at"`
		Fields     []jsonField `json:"fields,omitempty"`
	}
	jsonField struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
)

func jsonOfDeadLetter(one operate.DeadLetter) jsonDeadLetter {
	md := one.Metadata
	j := jsonDeadLetter{
		DeadLetter: one.ID, Broker: one.Broker, Stream: one.Stream, Handler: one.Handler, Group: md.ConsumerGroup, Consumer: md.Consumer,
		OriginalID: md.OriginalID, MessageID: one.MessageID, Type: one.Type, Reason: string(md.Reason), Error: md.FailureReason, Attempts: md.RetryCount,
	}
	if at := one.At(); !at.IsZero() {
		j.At = new(at.UTC())
	}
	for _, field := range one.Fields {
		j.Fields = append(j.Fields, jsonField{field.Name, strings.ToValidUTF8(string(field.Value), string(utf8.RuneError))})
	}
	return j
}

func inspectDeadLetters(ctx context.Context, f *dlqFlags, d *operate.DeadLetters) error {
	f.query.IDs = f.args
	all, err := d.Named(ctx, f.query)
	if err != nil {
		return fmt.Errorf("%w%s", err, seeList)
	}
	out := jsonDeadLetters{}
	for _, one := range all {
		out.DeadLetters = append(out.DeadLetters, jsonOfDeadLetter(one))
	}
	return f.print(out, func() string {
		var b strings.Builder
		for i, one := range all {
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(inspectText(one))
		}
		return b.String()
	})
}

// exactly narrows the query to one dead letter for each id that was given, by arguments
// or by --id.
func (f *dlqFlags) exactly(ctx context.Context, d *operate.DeadLetters) (err error) {
	if f.args != nil {
		f.query.IDs = f.args
	}
	if len(f.query.IDs) == 0 {
		return nil
	}
	if f.query, err = d.Exactly(ctx, f.query); err != nil {
		return fmt.Errorf("%w%s", err, seeList)
	}
	return nil
}

// seeList is the way out where an id names none, or several.
const seeList = ": observatory dlq list has the ids, --stream and --broker name one queue, also that of a stream without a handler in the file"

func inspectText(one operate.DeadLetter) string {
	var b strings.Builder
	md := one.Metadata
	b.WriteString(one.ID + "\n")
	at := ""
	if when := one.At(); !when.IsZero() {
		at = when.UTC().Format(time.RFC3339)
	}
	for _, text := range [][2]string{
		{"broker", one.Broker},
		{"stream", one.Stream},
		{"handler", one.Handler},
		{"group", md.ConsumerGroup},
		{"consumer", md.Consumer},
		{"original", md.OriginalID},
		{"message", one.MessageID},
		{"type", one.Type},
		{"reason", string(md.Reason)},
		{"attempts", strconv.Itoa(md.RetryCount)},
		{"at", at},
		{"error", md.FailureReason},
	} {
		fmt.Fprintf(&b, "    %-10s  %s\n", text[0], orDash(printable(text[1])))
	}
	fields, err := one.Original()
	if err != nil {
		fields = one.Fields
		fmt.Fprintf(&b, "    %-10s  %s\n", "note", printable(err.Error()))
	}
	b.WriteByte('\n')
	for _, field := range fields {
		value := string(field.Value)
		if field.Name == message.DataField {
			fmt.Fprintf(&b, "    %s\n", printable(value))
			continue
		}
		fmt.Fprintf(&b, "    %s  %s\n", printable(field.Name), printable(value))
	}
	return b.String()
}

func replayDeadLetters(ctx context.Context, f *dlqFlags, d *operate.DeadLetters) error {
	if err := f.exactly(ctx, d); err != nil {
		return err
	}
	plan, err := d.PlanReplay(ctx, f.query)
	if err != nil {
		return err
	}
	var targets []string
	for _, t := range plan.Targets() {
		targets = append(targets, fmt.Sprintf("%d to group %s of %s", t.Messages, printable(t.Group), printable(t.Stream)))
	}
	what := counted(plan.Matched())
	if len(targets) > 0 {
		what += ": " + strings.Join(targets, ", ")
	}
	var done deadletter.Replayed
	switch goOn, err := f.sure("Replay "+what, plan.Matched()); {
	case err != nil:
		return err
	case goOn:
		done, err = d.Replay(ctx, plan, deadletter.ReplayOptions{Rate: f.rate, Broadcast: f.broadcast, Progress: f.progress()})
		if err != nil {
			fmt.Fprintf(f.stderr, "observatory: %d of %d were delivered before this\n", done.Delivered, done.Matched)
			return err
		}
	default:
		done.Matched = plan.Matched()
	}
	out := jsonReplayed{
		DryRun: f.dryRun, Matched: done.Matched, Delivered: done.Delivered, AlreadyPending: done.AlreadyPending, Copied: done.Copied, Gone: done.Gone, Left: done.Left,
	}
	if err := f.print(out, func() string { return replayedText(f, what, done) }); err != nil {
		return err
	}
	return leftOf(done)
}

// leftOf is the error that says which messages were not replayed.
func leftOf(done deadletter.Replayed) error {
	var errs []error
	for why, n := range done.Left {
		errs = append(errs, fmt.Errorf("%s left in the queue: %s", counted(n), why))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

type jsonReplayed struct {
	DryRun         bool           `json:"dry_run"`
	Matched        int            `json:"matched"`
	Delivered      int            `json:"delivered"`
	AlreadyPending int            `json:"already_pending"`
	Copied         int            `json:"copied"`
	Gone           int            `json:"gone"`
	Left           map[string]int `json:"left,omitempty"`
}

func replayedText(f *dlqFlags, what string, done deadletter.Replayed) string {
	switch {
	case done.Matched == 0:
		return "No dead letters fit.\n"
	case f.dryRun:
		return "Would replay " + what + ".\n"
	}
	var notes []string
	for _, note := range []struct {
		n    int
		text string
	}{
		{done.AlreadyPending, "pending for their group already"},
		{done.Copied, "by a copy, since the original is gone"},
		{done.Gone, "not in the queue any more"},
	} {
		if note.n > 0 {
			notes = append(notes, fmt.Sprintf("%d %s", note.n, note.text))
		}
	}
	text := fmt.Sprintf("%d of %s delivered again", done.Delivered, counted(done.Matched))
	if len(notes) > 0 {
		text += " (" + strings.Join(notes, ", ") + ")"
	}
	return text + ".\n"
}

// progress prints how far a replay is, once a second.
func (f *dlqFlags) progress() func(deadletter.Replayed) {
	last := time.Now()
	return func(done deadletter.Replayed) {
		if time.Since(last) >= time.Second {
			last = time.Now()
			fmt.Fprintf(f.stderr, "observatory: %d of %d delivered\n", done.Delivered, done.Matched)
		}
	}
}

// sure reports whether something shall be done, and asks a person where there is one.
func (f *dlqFlags) sure(what string, n int) (bool, error) {
	switch {
	case f.dryRun || n == 0:
		return false, nil
	case f.yes:
		return true, nil
	}
	if in, ok := f.stdin.(*os.File); ok && !app.IsTerminal(in) {
		return false, errors.New("nothing was done: standard input is no terminal to ask on; give --yes, or --dry-run to see what would be done")
	}
	fmt.Fprintf(f.stderr, "%s. Go on? [y/N] ", what)
	answer, err := bufio.NewReader(f.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return false, errors.New("nothing was done")
	}
	return true, nil
}

func exportDeadLetters(ctx context.Context, f *dlqFlags, d *operate.DeadLetters) error {
	if f.output == "" {
		out := bufio.NewWriter(f.stdout)
		_, err := d.Export(ctx, f.query, out)
		return errors.Join(err, out.Flush())
	}
	file, err := create(f.output)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	n, err := d.Export(ctx, f.query, out)
	if err := errors.Join(err, out.Flush(), file.Sync(), file.Close()); err != nil {
		return err
	}
	fmt.Fprintf(f.stderr, "observatory: %s exported to %s\n", counted(n), f.output)
	return nil
}

// create makes a file that only its owner may read: payloads may be private.
func create(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%s exists: name another file with --output", path)
	}
	return file, err
}

func importDeadLetters(ctx context.Context, f *dlqFlags, d *operate.DeadLetters) error {
	if len(f.args) != 1 {
		return errors.New("expected one file to import")
	}
	from := f.stdin
	if f.args[0] != "-" {
		file, err := os.Open(f.args[0])
		if err != nil {
			return err
		}
		defer file.Close()
		from = file
	}
	done, err := d.Import(ctx, from, f.query.Broker)
	if err != nil {
		return fmt.Errorf("import %s: %w; %s put back before this", f.args[0], err, counted(done.Added))
	}
	_, err = fmt.Fprintf(f.stdout, "%s put back, %d in their queue already.\n", counted(done.Added), done.Present)
	return err
}

func purgeDeadLetters(ctx context.Context, f *dlqFlags, d *operate.DeadLetters) error {
	if err := f.exactly(ctx, d); err != nil {
		return err
	}
	n := 0
	err := d.Each(ctx, f.query, func(operate.DeadLetter) error {
		n++
		return nil
	})
	if err != nil {
		return err
	}
	path := f.output
	if path == "" {
		path = "dead-letters-" + time.Now().UTC().Format("20060102T150405.000Z") + ".jsonl"
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	what := fmt.Sprintf("Delete %s, exported to %s first", counted(n), path)
	if f.noExport {
		path, what = "", fmt.Sprintf("Delete %s, without an export: there is no way back", counted(n))
	}
	goOn, err := f.sure(what, n)
	if err != nil {
		return err
	}
	out := jsonPurged{DryRun: f.dryRun, Matched: n}
	if goOn {
		if out.Deleted, err = f.purge(ctx, d, path); err != nil {
			return fmt.Errorf("%w; %s deleted before this", err, counted(out.Deleted))
		}
		out.Export = path
	}
	return f.print(out, func() string {
		switch {
		case n == 0:
			return "No dead letters fit.\n"
		case f.dryRun:
			return "Would " + strings.ToLower(what[:1]) + what[1:] + ".\n"
		case f.noExport:
			return counted(out.Deleted) + " deleted.\n"
		}
		return fmt.Sprintf("%s deleted; observatory dlq import %s puts them back.\n", counted(out.Deleted), path)
	})
}

type jsonPurged struct {
	DryRun  bool   `json:"dry_run"`
	Matched int    `json:"matched"`
	Deleted int    `json:"deleted"`
	Export  string `json:"export"`
}

// purge deletes what the query means, exported to a file first unless its path is "".
func (f *dlqFlags) purge(ctx context.Context, d *operate.DeadLetters, path string) (deleted int, err error) {
	if path == "" {
		return d.Purge(ctx, f.query, nil, nil)
	}
	file, err := create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriter(file)
	return d.Purge(ctx, f.query, out, func() error { return errors.Join(out.Flush(), file.Sync()) })
}

func trimDeadLetters(ctx context.Context, f *dlqFlags, d *operate.DeadLetters) error {
	n := 0
	before := f.query.Before
	f.query.Before = time.Time{}
	err := d.Each(ctx, f.query, func(one operate.DeadLetter) error {
		if id, err := message.ParseEntryID(one.ID); err == nil && time.UnixMilli(int64(id.Milliseconds)).Before(before) {
			n++
		}
		return nil
	})
	if err != nil {
		return err
	}
	what := fmt.Sprintf("Delete %s that came into a queue before %s, without an export", counted(n), before.UTC().Format(time.RFC3339))
	goOn, err := f.sure(what, n)
	if err != nil {
		return err
	}
	out := jsonPurged{DryRun: f.dryRun, Matched: n}
	if goOn {
		if out.Deleted, err = d.Trim(ctx, f.query, before); err != nil {
			return fmt.Errorf("%w; %s deleted before this", err, counted(out.Deleted))
		}
	}
	return f.print(out, func() string {
		switch {
		case n == 0:
			return "No dead letters are older.\n"
		case f.dryRun:
			return "Would " + strings.ToLower(what[:1]) + what[1:] + ".\n"
		}
		return counted(out.Deleted) + " deleted.\n"
	})
}

// ages is how an age is given.
const ages = "a number and s, m, h or d, such as 90m or 7d"

func isAge(text string) bool { return ageOf(text) > 0 }

// ageOf reads an age; 0 where it is none.
func ageOf(text string) time.Duration {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || !(n > 0 && n < 36500) {
			return 0
		}
		return time.Duration(n * 24 * float64(time.Hour))
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return max(d, 0)
}

// number is a flag that takes a whole number from 1 on.
type number struct {
	flag string
	to   *int
}

func (n *number) String() string { return strconv.Itoa(*n.to) }

func (n *number) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < 1 {
		return errorOf(n.flag, text, "a whole number, 1 or more")
	}
	*n.to = v
	return nil
}

// rate is a flag that takes how many a second.
type rate struct{ to *float64 }

func (r *rate) String() string { return strconv.FormatFloat(*r.to, 'g', -1, 64) }

func (r *rate) Set(text string) error {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0.01 && v <= 1e6) {
		return errorOf("rate", text, "messages a second, 0.01 to 1000000")
	}
	*r.to = v
	return nil
}
