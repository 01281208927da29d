// Package redisbroker is the broker over Redis Streams: group reads that are
// never repeated silently, settlement by scripts that check ownership, and dead
// letters that are moved, not copied.
//
// It needs Redis 6.2 and is written for 7.0 or newer, as one server: addressed
// by redis://, rediss:// or unix://.
//
// # Connections
//
// Reads that wait have connections of their own, up to half of
// MaxConnections, so that they never hold up an acknowledgement; everything
// else shares the other half. Where all of the first are taken, a read does not
// wait on the server but comes back within a tenth of a second. Health checks
// and the collector look through one more connection, which is not counted, so
// that looking changes no figure and never hangs on a full pool.
//
// # Delivery counts
//
// Redis counts deliveries; the engine counts calls of a handler. A read leaves
// the count at 1 with no call made. Before the second call [consumergroup.Settler]'s
// Attempt writes 2, before the third 3: the count is the number of calls made or
// begun. What Release gives back carries the number of calls made.
package redisbroker
