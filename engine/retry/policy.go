// Package retry says whether and when to try again.
package retry

import (
	"math"
	"math/rand/v2"
	"time"
)

// Policy says how often a message is handled, and how long it waits between.
type Policy struct {
	// MaxAttempts is the number of attempts in all; 0 and 1 both mean one.
	MaxAttempts int
	// Delay is the wait before the second attempt.
	Delay time.Duration
	// Multiplier is applied to the delay for each later attempt; default 1.
	Multiplier float64
	// MaxDelay caps the delay; 0 does not.
	MaxDelay time.Duration
	// Jitter adds up to this part of the delay at random, 0 to 1; default 0.
	Jitter float64
}

// WithDefaults returns the policy with its documented defaults filled in.
func (p Policy) WithDefaults() Policy {
	if p.Multiplier == 0 {
		p.Multiplier = 1
	}
	return p
}

// Next says whether a message that was attempted so many times is attempted
// again, and after what delay.
func (p Policy) Next(attempts int) (time.Duration, bool) {
	if attempts >= max(p.MaxAttempts, 1) {
		return 0, false
	}
	delay := float64(p.Delay) * math.Pow(max(p.Multiplier, 1), float64(max(attempts-1, 0)))
	if limit := float64(p.MaxDelay); p.MaxDelay > 0 && delay > limit {
		delay = limit
	}
	if p.Jitter > 0 {
		delay += delay * p.Jitter * rand.Float64()
	}
	return time.Duration(min(delay, math.MaxInt64/2)), true
}
