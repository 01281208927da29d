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

// Verdict is what a handler's error asks for.
type Verdict int

// The verdicts.
const (
	// Done: no error.
	Done Verdict = iota
	// Failed: the attempt failed; the retry policy decides.
	Failed
	// Rejected: the message can never be handled.
	Rejected
	// Postponed: try again later, at no cost.
	Postponed
	// Down: what the handler depends on is down, whatever the message.
	Down
	// Skipped: nobody here handles this type.
	Skipped
)

type verdictError struct {
	verdict Verdict
	after   time.Duration
	err     error
}

func (e *verdictError) Error() string { return e.err.Error() }
func (e *verdictError) Unwrap() error { return e.err }

// Reject says that no further attempt can succeed: the message goes to the
// dead-letter queue at once, with err as its reason.
func Reject(err error) error {
	return &verdictError{verdict: Rejected, err: orElse(err, "rejected")}
}

// RetryAfter postpones the message by d (MinRetryAfter to MaxRetryAfter). It
// costs no attempt and counts as no error.
func RetryAfter(d time.Duration) error {
	d = min(max(d, MinRetryAfter), MaxRetryAfter)
	return &verdictError{verdict: Postponed, after: d, err: fmt.Errorf("retry after %s", d)}
}

// Unavailable says that the handler could not work at all, whatever the
// message: the service behind it is down. The subscription is held up at no
// cost to any message, probes with backoff, and resumes.
func Unavailable(err error) error {
	return &verdictError{verdict: Down, err: orElse(err, "unavailable")}
}

// Skip says that the message is none of this handler's: it is acknowledged and
// counted as skipped.
func Skip(err error) error {
	return &verdictError{verdict: Skipped, err: orElse(err, "skipped")}
}

// Judge reads the verdict out of a handler's error. The duration is that of
// RetryAfter.
func Judge(err error) (Verdict, time.Duration) {
	if err == nil {
		return Done, 0
	}
	if v, ok := errors.AsType[*verdictError](err); ok {
		return v.verdict, v.after
	}
	return Failed, 0
}

// Cause returns the error below a verdict: what is told as the reason.
func Cause(err error) error {
	if v, ok := err.(*verdictError); ok { //nolint:errorlint // only the outermost is a verdict's wrapping
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
