package handler

import (
	"errors"
	"fmt"
	"time"
)

// The bounds of RetryAfter: nothing is postponed for longer than an hour, and
// nothing is called again without any pause.
const (
	MinRetryAfter = 10 * time.Millisecond
	MaxRetryAfter = time.Hour
)

// Outcome is what a handler's error asks for.
type Outcome int

// The outcomes.
const (
	// Done: no error.
	Done Outcome = iota
	// Failed: the attempt failed; the retry policy decides.
	Failed
	// Rejected: the message can never be handled.
	Rejected
	// Postponed: try again later, at no cost.
	Postponed
	// Down: what the handler depends on is down, whatever the message.
	Down
	// Skipped: no route handles this type.
	Skipped
	// Cut: what the handler depends on took the message and was gone before it
	// answered.
	Cut
)

type outcomeError struct {
	outcome   Outcome
	uncalled  bool // the error is not a call's
	unhandled bool // no route handles the message, and no other handler will
	unreached bool // nothing of the message reached what the handler depends on
	after     time.Duration
	err       error
}

func (e *outcomeError) Error() string { return e.err.Error() }
func (e *outcomeError) Unwrap() error { return e.err }

// Reject says that no further attempt can succeed: the message goes to the
// dead-letter queue at once, with err as its reason.
func Reject(err error) error {
	return &outcomeError{outcome: Rejected, err: orElse(err, "rejected")}
}

// RejectUncalled is Reject for a message that cannot even be given to the
// handler, as one whose payload does not decode: no attempt is counted.
func RejectUncalled(err error) error {
	return &outcomeError{outcome: Rejected, uncalled: true, err: orElse(err, "rejected")}
}

// IsUncalled reports whether an error says, by [RejectUncalled], that there was no
// call of the handler.
func IsUncalled(err error) bool {
	v, ok := errors.AsType[*outcomeError](err)
	return ok && v.uncalled
}

// rejectUnhandled is RejectUncalled for a message that no handler will handle.
func rejectUnhandled(err error) error {
	return &outcomeError{outcome: Rejected, uncalled: true, unhandled: true, err: err}
}

// IsUnhandled reports whether an error says that no handler will handle the message.
func IsUnhandled(err error) bool {
	v, ok := errors.AsType[*outcomeError](err)
	return ok && v.unhandled
}

// RetryAfter postpones the message by d (MinRetryAfter to MaxRetryAfter). It
// costs no attempt and counts as no error.
func RetryAfter(d time.Duration) error {
	d = min(max(d, MinRetryAfter), MaxRetryAfter)
	return &outcomeError{outcome: Postponed, after: d, err: fmt.Errorf("retry after %s", d)}
}

// Unavailable says that the handler could not work at all, whatever the
// message: the service behind it is down. Once ten messages in a row say so, or one
// while none was answered for a second, the subscription is held up at no cost to
// any message, probes with backoff, and resumes. A message that says so while others
// are answered counts as failed from the fourth time on.
func Unavailable(err error) error {
	return &outcomeError{outcome: Down, err: orElse(err, "unavailable")}
}

// Unreachable is Unavailable where the message cannot be the cause, since nothing of
// it reached the service: a refused connection, a name that does not resolve. It
// never counts as failed.
func Unreachable(err error) error {
	return &outcomeError{outcome: Down, unreached: true, err: orElse(err, "unreachable")}
}

// IsUnreachable reports whether an error says so.
func IsUnreachable(err error) bool {
	v, ok := errors.AsType[*outcomeError](err)
	return ok && v.unreached
}

// Interrupted says that the service behind the handler took the message and was
// gone before it answered, as one does that crashes over it. It is Unavailable;
// beyond that the message is called by itself next, and counts as failed once that
// came to the same three times and others were answered meanwhile, or none was
// for two minutes.
func Interrupted(err error) error {
	return &outcomeError{outcome: Cut, err: orElse(err, "interrupted")}
}

// Skip says that the message is none of this handler's: it is acknowledged and
// counted as skipped.
func Skip(err error) error {
	return &outcomeError{outcome: Skipped, err: orElse(err, "skipped")}
}

// OutcomeOf reads the outcome out of a handler's error. The duration is that of
// RetryAfter.
func OutcomeOf(err error) (Outcome, time.Duration) {
	if err == nil {
		return Done, 0
	}
	if v, ok := errors.AsType[*outcomeError](err); ok {
		return v.outcome, v.after
	}
	return Failed, 0
}

// Cause returns the error below an outcome: what is told as the reason.
func Cause(err error) error {
	if v, ok := err.(*outcomeError); ok { //nolint:errorlint // only the outermost is an outcome's wrapping
		return v.err
	}
	return err
}

func orElse(err error, text string) error {
	if err == nil {
		return errors.New(text)
	}
	return err
}
