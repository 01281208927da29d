package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// programs are the observatory as it is, and one whose wall clock can be moved.
type programs struct {
	dir       string
	plain     string
	movable   string // "" where no scenario moves a clock
	clock     string // the library that moves the clock of Redis; "" likewise
	buildTree string // the repository
}

//go:embed clocks/replica.go.txt
var replicaClockSource string // a file of package main, added to the movable observatory

//go:embed clocks/redis.c
var redisClockSource string

// build compiles what the scenarios need. The caller removes it.
func build(ctx context.Context, scenarios []scenario, progress io.Writer) (*programs, error) {
	dir, err := os.MkdirTemp("", "chaos-build-")
	if err != nil {
		return nil, err
	}
	p := &programs{dir: dir, plain: filepath.Join(dir, "observatory")}
	fmt.Fprintln(progress, "building the observatory")
	own, err := output(ctx, ".", "go", "list", "-m", "-f", "{{.Dir}}")
	if err == nil {
		p.buildTree = filepath.Dir(own)
		_, err = output(ctx, p.buildTree, "go", "build", "-o", p.plain, "./cmd/observatory")
	}
	if err == nil && slices.ContainsFunc(scenarios, func(s scenario) bool { return s.movable }) {
		err = p.buildMovable(ctx)
	}
	if err == nil && slices.ContainsFunc(scenarios, func(s scenario) bool { return s.redisClock }) {
		err = p.buildClock(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

func (p *programs) remove() { _ = os.RemoveAll(p.dir) }

// buildMovable compiles the observatory over a time package whose Now adds an
// offset that signals change: Go reads the clock without the C library, so that no
// library in LD_PRELOAD can move it. The monotonic clock stays, as when a real one
// jumps.
func (p *programs) buildMovable(ctx context.Context) error {
	root, err := output(ctx, p.buildTree, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	source := filepath.Join(root, "src", "time", "time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	const read = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(text), read) != 1 {
		return fmt.Errorf("%s is not as expected: the clock of a replica cannot be moved with this release of Go", source)
	}
	moved := strings.Replace(string(text), read, read+"\tsec += MovedSeconds.Load()\n", 1)
	overlay := map[string]string{
		source: filepath.Join(p.dir, "time.go"),
		filepath.Join(root, "src", "time", "moved.go"):               filepath.Join(p.dir, "moved.go"),
		filepath.Join(p.buildTree, "cmd", "observatory", "clock.go"): filepath.Join(p.dir, "clock.go"),
	}
	list, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return err
	}
	const declaration = "package time\n\nimport \"sync/atomic\"\n\n// MovedSeconds is added to what Now reads.\nvar MovedSeconds atomic.Int64\n"
	err = errors.Join(
		os.WriteFile(filepath.Join(p.dir, "time.go"), []byte(moved), 0o600),
		os.WriteFile(filepath.Join(p.dir, "moved.go"), []byte(declaration), 0o600),
		os.WriteFile(filepath.Join(p.dir, "clock.go"), []byte(replicaClockSource), 0o600),
		os.WriteFile(filepath.Join(p.dir, "overlay.json"), list, 0o600))
	if err != nil {
		return err
	}
	p.movable = filepath.Join(p.dir, "observatory-movable")
	_, err = output(ctx, p.buildTree, "go", "build", "-overlay", filepath.Join(p.dir, "overlay.json"), "-o", p.movable, "./cmd/observatory")
	return err
}

// buildClock compiles the library that moves the clock of Redis.
func (p *programs) buildClock(ctx context.Context) error {
	source := filepath.Join(p.dir, "redis.c")
	if err := os.WriteFile(source, []byte(redisClockSource), 0o600); err != nil {
		return err
	}
	p.clock = filepath.Join(p.dir, "redisclock.so")
	if _, err := output(ctx, p.dir, "cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", p.clock, source); err != nil {
		return fmt.Errorf("the clock of Redis needs a C compiler (`make servers` installs one): %w", err)
	}
	return nil
}

// output runs a command and returns what it printed.
func output(ctx context.Context, dir, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(string(out)), nil
}
