// Package redisbroker is the broker over Redis Streams: group reads that are
// never repeated silently, settlement by scripts that check ownership, and dead
// letters that are moved, not copied.
//
// It needs Redis 6.2 and is written for 7.0 or newer: one server, the master that
// Sentinel names, or a Cluster. [Config] has the forms of their addresses.
//
// # Connections
//
// Reads that wait have connections of their own, up to half of MaxConnections, so
// that they never hold up an acknowledgement; everything else shares the other
// half. Of the first, a quarter are for wake-ups: where all others are taken, a
// member waits until a plain XREAD, which waits on the streams of all such members,
// sees its stream grow, and then reads its group. On a Cluster, whose nodes have a
// part of the streams each, and with one connection, these streams are asked for
// ten times a second, in one pipeline. A member that gets entries again and again
// has a connection of its own in the place of one that does not.
//
// Health checks and the collector have two more connections, which are not
// counted, so that an inspection changes no figure and never waits for a full pool.
//
// With Sentinel the master's address is asked for each new connection. On a
// Cluster every command of a [consumergroup.Membership] is one that go-redis does
// not repeat; its client needs the right to CLUSTER SLOTS.
//
// # Delivery counts
//
// Redis counts deliveries; the engine counts attempts, which are calls of a
// handler. A read leaves the count at 1 with no attempt made. Before the second
// attempt [consumergroup.Settler]'s Attempt writes 2, before the third 3: the
// count is the number of attempts made or begun. What Release gives back carries
// the number of attempts made. A count that no process could have reached is
// [math.MaxInt] attempts.
//
// # A server that refuses
//
// A server may answer and yet let no entry be consumed: a replica, a master with
// too few replicas, a server that loads its data, a user without the right. Ping
// then fails and the collector's figure for the broker is 0. It is found by
// commands without effect: most by an acknowledgement of no entry, which shows
// also for a broker that is not read from. Where a command of a member was denied,
// all commands of that member are tried so until none is. It ends by itself.
//
// Where a command on a Cluster gets no answer, the client asks for the masters of
// the slots, and once a second until the command is tried again: so it follows a
// failover at the first try after the promotion.
package redisbroker
