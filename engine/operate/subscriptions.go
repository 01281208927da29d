// Package operate is what an operator can ask of a domain. A command line, an
// API or a page calls it, and nothing else, for that. What it needs of a domain
// and of the servers are the ports [Catalog] and [Figures].
package operate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription"
)

// eventStore is the type of subscriptions without a dead-letter queue, and the
// source of their figures.
const eventStore = "event_store"

// Operator answers an operator's questions about one domain. Its methods may be
// called side by side. It closes nothing that it was given.
type Operator struct {
	catalog Catalog
	figures Figures
}

// New returns an Operator. Without figures (nil) every figure is unknown: for a
// domain whose servers cannot be asked, because they live in the memory of
// another process.
func New(catalog Catalog, figures Figures) *Operator {
	return &Operator{catalog: catalog, figures: figures}
}

// List is the answer of [Operator.Subscriptions].
type List struct {
	Subscriptions []Listed
	// DeadLetters are the dead-letter queues of the subscriptions' streams, one a
	// stream, in the order of the list. A category of the event store has none.
	DeadLetters []Queue
	// Failed are the servers that could not be read, or not whole, before the
	// deadline. Their figures are unknown.
	Failed []Failure
}

// Listed is a subscription with its figures; what could not be read is unknown,
// never zero.
type Listed struct {
	Subscription
	// Lag is how many entries the group has not been given yet. LagExact is 1
	// where that is the true count and 0 where it is an estimate.
	Lag, LagExact collector.Value
	// LagSeconds is the age of the oldest entry that the group has not been given;
	// 0 where there is none.
	LagSeconds collector.Value
	// Pending is how many entries were given to the group and not acknowledged.
	Pending collector.Value
	// OldestUnfinishedSeconds is the age of the oldest entry that is not
	// acknowledged, given to the group or not; 0 where there is none.
	OldestUnfinishedSeconds collector.Value
	// DeadLetters is the depth of the stream's dead-letter queue, which all
	// handlers of the stream share; of the event store, what the handler gave up on.
	DeadLetters collector.Value
	// Pause is who paused the subscription, when and why; nil where it is not paused,
	// or that is not known.
	Pause *collector.Pause
	// Missing is what the server does not have of it: a stream or a group whose
	// name is misspelt, perhaps. It is "" where nothing is missing, or the server
	// was not read whole.
	Missing Missing
}

// Missing is what a server does not have of a subscription.
type Missing string

// What may be missing.
const (
	NoStream Missing = "no stream"    // of that name
	NoEntry  Missing = "no entry yet" // was ever added to the stream
	NoGroup  Missing = "no group yet" // no engine has run the subscription
)

// Queue is the dead-letter queue of one stream.
type Queue struct {
	// Stream is the stream whose dead letters it holds.
	Stream string
	Depth  collector.Value
}

// Failure is a server that could not be read.
type Failure struct {
	// Source is its family and name, such as "broker:default".
	Source string
	Err    error
}

// Subscriptions lists the subscriptions, with their figures so far as servers
// answer before ctx ends. With a handler, by its full or its short name, those
// of that handler only. It returns an error where the configuration cannot
// work, or the handler does not exist; servers that do not answer are in the
// list.
func (o *Operator) Subscriptions(ctx context.Context, handler string) (*List, error) {
	configured, err := o.catalog()
	if err != nil {
		return nil, err
	}
	if handler != "" {
		if configured, err = named(configured, handler); err != nil {
			return nil, err
		}
	}
	snapshot := &collector.Snapshot{}
	if o.figures != nil {
		if snapshot, err = o.figures.Snapshot(ctx); err != nil {
			return nil, fmt.Errorf("read the servers: %w", err)
		}
	}

	type key struct{ stream, group string }
	figures := map[key]collector.Subscription{}
	depths := map[string]collector.Value{}
	added := map[string]collector.Value{} // to each stream that exists
	list := &List{}
	for _, part := range snapshot.Parts {
		if part.Err != nil {
			list.Failed = append(list.Failed, Failure{Source: part.Source, Err: part.Err})
		}
		for _, s := range part.Subscriptions {
			figures[key{s.Stream, s.Group}] = s
		}
		for _, q := range part.Queues {
			depths[q.Stream] = q.Depth
		}
		for _, stream := range part.Streams {
			added[stream.Stream] = stream.EntriesAdded
		}
	}
	// What a server does not have is known where brokers were read, not the event
	// store alone.
	ofBroker := func(p collector.Part) bool { return p.Source != eventStore }
	whole := slices.ContainsFunc(snapshot.Parts, ofBroker) && len(list.Failed) == 0
	for _, s := range configured {
		read, joined := figures[key{s.Stream, s.Group}]
		joined = joined && (read.Pause == nil || read.Pending.Known) // else it was paused before its group was made
		depth := read.DeadLetters
		if s.Type != eventStore {
			depth = depths[deadletter.QueueOf(s.Stream)]
		}
		listed := Listed{
			Subscription: s, Lag: read.Lag, LagExact: read.LagExact, LagSeconds: read.LagSeconds, Pending: read.Pending,
			OldestUnfinishedSeconds: read.OldestUnfinishedSeconds, DeadLetters: depth,
			Pause: read.Pause,
		}
		if entries, exists := added[s.Stream]; whole && s.Type != eventStore {
			switch {
			case !exists:
				listed.Missing = NoStream
			case entries == collector.Known(0):
				listed.Missing = NoEntry
			case !joined:
				listed.Missing = NoGroup
			}
		}
		list.Subscriptions = append(list.Subscriptions, listed)
		if s.Type == eventStore { // what it cannot handle stays in the store
			continue
		}
		if !slices.ContainsFunc(list.DeadLetters, func(q Queue) bool { return q.Stream == s.Stream }) {
			list.DeadLetters = append(list.DeadLetters, Queue{Stream: s.Stream, Depth: depth})
		}
	}
	return list, nil
}

// named are the subscriptions of one handler.
func named(all []Subscription, handler string) ([]Subscription, error) {
	var found []Subscription
	var names []string
	for _, s := range all {
		if s.Handler == handler || subscription.ShortName(s.Handler) == handler {
			found = append(found, s)
		}
		if !slices.Contains(names, s.Handler) {
			names = append(names, s.Handler)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case len(names) == 0:
		return nil, fmt.Errorf("there is no handler %q: the file has none; add [observatory.handlers.<name>] to it", handler)
	}
	return nil, fmt.Errorf("there is no handler %q in the file: expected one of %s", handler, strings.Join(names, ", "))
}
