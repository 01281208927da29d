// Package interop runs the real Protean, from PyPI, and our engine in one consumer
// group on a real Redis: both share the work, nothing is taken from a living Python
// consumer, what a killed one leaves is taken over, nothing is trimmed that it holds,
// and Protean's own tool works on our dead letters. On Message-DB each goes on where
// the other stopped. It holds tests only, and is a module of its own, run after
// `make protean` has installed Python's part.
package interop
