// Package database is the family page of the databases: the figures of
// their pools, and the errors that all of them share.
package database

import "errors"

// PoolStats are the figures of a connection pool at one moment, in SQLAlchemy's
// terms, so that a dashboard reads Python's and ours alike. Always
// CheckedIn + CheckedOut = Size + Overflow, which is how many are open.
type PoolStats struct {
	// Size is the configured pool_size: as many connections are kept.
	Size int
	// CheckedOut are in use, those being opened included.
	CheckedOut int
	// Overflow is how many are open beyond Size: negative until the pool has
	// grown to it, at most the configured max_overflow.
	Overflow int
	// CheckedIn are idle.
	CheckedIn int
}

var (
	// ErrClosed is returned by every operation after Close.
	ErrClosed = errors.New("database closed")
	// ErrPoolTimeout is returned when no connection became free within
	// pool_timeout.
	ErrPoolTimeout = errors.New("no database connection became free in time")
)
