// Package interop runs the real Protean, from PyPI, and our engine in one consumer
// group on a real Redis: both share the work, nothing is taken from a living Python
// consumer, what a killed one leaves is taken over, and Protean's own tool works on
// our dead letters. It holds tests only, and is a module of its own, run after
// `make protean` has installed Python's part.
package interop
