package subscription

import (
	"context"
	"log/slog"
	"time"
)

// logWindow is for how long lines of one message are gathered into one.
const logWindow = time.Minute

// limitedLog writes the first line of a message at once. What follows within a
// minute is written as one line with the last one's attributes and their number,
// and so on each minute until one passes without: a handler that fails for one
// message in twenty must not flood the log. Where the logger takes debug lines,
// each is written at that level too.
type limitedLog struct {
	log   *slog.Logger
	lines map[string]*gatheredLines // by message
}

// gatheredLines are the lines of one message in its current minute.
type gatheredLines struct {
	ends  time.Time // of the minute
	level slog.Level
	more  int   // beyond the first of the minute
	last  []any // the attributes of the last
}

func (l *limitedLog) write(level slog.Level, msg string, attrs ...any) {
	ctx := context.Background()
	g := l.lines[msg]
	if g == nil {
		l.lines[msg] = &gatheredLines{ends: time.Now().Add(logWindow), level: level}
		l.log.Log(ctx, level, msg, attrs...) //nolint:sloglint // the caller's constant
		return
	}
	g.more++
	g.last = attrs
	l.log.Debug(msg, attrs...) //nolint:sloglint // the caller's constant
}

// flush writes what was gathered in the minutes that are over, or in all.
func (l *limitedLog) flush(now time.Time, all bool) {
	for msg, g := range l.lines {
		switch {
		case g.ends.After(now) && !all:
		case g.more == 0:
			delete(l.lines, msg)
		default:
			l.log.Log(context.Background(), g.level, msg, append(g.last, "times_in_last_minute", g.more)...) //nolint:sloglint // the caller's constant
			g.ends, g.more, g.last = now.Add(logWindow), 0, nil
		}
	}
}

// next is when a minute is over; zero where none is under way.
func (l *limitedLog) next() (first time.Time) {
	for _, g := range l.lines {
		if first.IsZero() || g.ends.Before(first) {
			first = g.ends
		}
	}
	return first
}
