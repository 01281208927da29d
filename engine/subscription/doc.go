// Package subscription dispatches the messages of one source to one handler:
// in which order, how often, by how many workers, and what becomes of each.
//
// A message goes one way. The [Intake] of a source offers a batch; the
// dispatcher decodes it, lines it up and gives it to a worker; the worker calls
// the handler; the dispatcher settles the outcome through the source's
// [Settlement]: done, waiting for another attempt, or given up. The
// packages consumergroup and catchup have the sources: a consumer group of a
// broker, and a category of an event store.
package subscription
