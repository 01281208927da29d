// Package command is the command line of the observatory binary, a file a
// command. A command takes its flags, calls the package that does the work, and
// turns the result into text and an exit code.
package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
)

// The exit codes.
const (
	exitDone     = 0
	exitFailed   = 1
	exitWarnings = 2  // of check
	exitUsage    = 64 // wrong usage: EX_USAGE of sysexits.h
)

// Main runs the program with the arguments and the standard files of the process,
// and returns the exit code. Nothing of it waits for the reader of standard error.
func Main() int {
	stderr := app.NewOutput(os.Stderr)
	defer stderr.Close()
	app.LogLibraries(stderr)
	return Run(os.Args[1:], os.Stdout, stderr)
}

// Run runs the command that args (without the program's name) name, and returns
// the exit code. It writes results to stdout, and errors, progress and
// the log to stderr.
func Run(args []string, stdout, stderr io.Writer) int { return run(args, os.Stdin, stdout, stderr) }

// run is Run with another standard input.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	helped, help := false, &strings.Builder{} // the parser panics where it cannot write
	line := kingpin.New("observatory", "Runs message handlers over Redis Streams and serves Prometheus metrics beside them.")
	line.UsageWriter(help).ErrorWriter(stderr).Terminate(func(int) { helped = true })
	line.HelpFlag.Short('h')
	line.DefaultEnvars()
	// Not kingpin's own version flag, which ends the parse where it stands.
	versioned := line.Flag("version", "Print version and build information.").NoEnvar().Bool()

	shared := flags{stdin: stdin, stdout: stdout, stderr: stderr, options: app.Options{Stderr: stderr}}
	shared.addLog(line)
	commands := map[string]func() int{}
	for _, add := range []func(*kingpin.Application, *flags) (name string, run func() int){
		addServe, addCheck, addSubscriptions, addPause, addResume, addDrain, addVersion,
	} {
		name, run := add(line, &shared)
		commands[name] = run
	}
	maps.Copy(commands, addDeadLetters(line, &shared))

	name, err := line.Parse(args)
	if err == nil && !helped && !*versioned && name != versionCommand {
		err = shared.checkConfigVariable()
	}
	if _, unwritten := errors.AsType[*fs.PathError](err); unwritten { // some help goes to standard output by itself
		return shared.exitOf(err)
	}
	if err != nil && !helped { // help may be asked for without the arguments that a command requires
		wayOut := "try --help"
		for _, arg := range args {
			if strings.HasSuffix(arg, ".toml") && strings.Contains(err.Error(), arg) {
				wayOut = "a configuration file is named by --config " + arg
			}
		}
		fmt.Fprintf(stderr, "observatory: %v; %s\n", err, wayOut)
		return exitUsage
	}
	switch {
	case helped:
		_, err := io.WriteString(stdout, help.String())
		return shared.exitOf(err)
	case *versioned:
		return shared.exitOf(version(&shared))
	}
	return commands[name]()
}
