// Package catchup is the source of a subscription that reads a category of an
// event store by position.
//
// An event store keeps no list of what is pending. What is in flight is known
// here alone, and what the store keeps is a position, up to which all is
// settled, and the positions below it that failed. So that one message that
// waits holds up no other's progress, whatever is unsettled for a second is
// written down as a failed position, and the position moves on.
package catchup
