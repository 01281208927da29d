// Package consumergroup is the source of a subscription that reads a stream
// through a consumer group of a broker.
//
// An entry that was read is pending at the broker and in the in-flight table
// here, and the two are kept equal: after every error this consumer's pending
// entries are listed and those missing here are offered; what is in flight is
// renewed every third of claim_idle_seconds, and what another consumer took is
// reported as lost.
//
// What another consumer has pending is taken over once that one shows no life: for
// claim_idle_seconds the broker has not seen it, and its list has not become shorter.
// It is done one entry at a time; see takeover.go.
package consumergroup
