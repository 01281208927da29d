// Package adapters is the literal map from the providers of a domain.toml to
// their constructors: all of them. A program that wants fewer writes its own
// [domain.Adapters], and links only what that names.
package adapters

import (
	"context"
	"os"
	"time"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/database/postgres"
	"github.com/observatory-go/observatory/engine/deliver"
	"github.com/observatory-go/observatory/engine/domain"
	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/handler"
)

// All returns every adapter. The maps are the caller's own: an entry may be
// replaced or removed before [domain.Open].
func All() domain.Adapters {
	return domain.Adapters{
		Brokers: map[string]func(domain.BrokerSpec) (engine.Broker, error){
			"redis":  openRedis,
			"inline": openMemory,
		},
		Databases: map[string]func(context.Context, domain.DatabaseSpec) (engine.Database, error){
			"postgresql": openPostgres,
		},
		EventStores: map[string]func(domain.EventStoreSpec) (engine.EventStore, error){
			"message_db": openMessageDB,
		},
		Deliver: deliverTo,
	}
}

func openRedis(s domain.BrokerSpec) (engine.Broker, error) {
	return redisbroker.New(redisbroker.Config{
		Name: s.Name, URI: s.URI, MaxConnections: s.MaxConnections,
		SocketTimeout: s.SocketTimeout, ConnectTimeout: s.ConnectTimeout,
		RetryOnTimeout: s.RetryOnTimeout, Logger: s.Logger,
	})
}

func openMemory(domain.BrokerSpec) (engine.Broker, error) { return memorybroker.New(), nil }

func openPostgres(_ context.Context, s domain.DatabaseSpec) (engine.Database, error) {
	return postgres.New(postgres.Config{
		Name: s.Name, URI: s.URI, Schema: s.Schema, PoolSize: s.PoolSize, MaxOverflow: &s.MaxOverflow,
		PoolRecycle: s.PoolRecycle, PoolTimeout: s.PoolTimeout, PrePing: s.PrePing,
	})
}

func openMessageDB(s domain.EventStoreSpec) (engine.EventStore, error) {
	return messagedb.New(messagedb.Config{
		URI: s.URI, MaxConnections: s.MaxConnections, GapTimeout: max(s.GapTimeout, time.Millisecond), Logger: s.Logger,
	})
}

// standardOutput is shared by the handlers of all domains: their lines do not mix.
var standardOutput = deliver.NewLines(os.Stdout)

// deliverTo posts to the target, or writes to standard output.
func deliverTo(s domain.HandlerSpec) (handler.Func, func() error, error) {
	source := deliver.Source(s.SourceURI, s.Domain)
	leftOut := func(e deliver.LeftOut) { s.LeftOut(e.Name, string(e.Reason)) }
	if s.Target == config.TargetLog {
		return deliver.NewLog(standardOutput, source, leftOut).Handle, nil, nil
	}
	target, err := deliver.NewHTTP(deliver.HTTPConfig{
		URL: s.Target, Name: s.TargetName, Source: source, Headers: s.Headers, LeftOut: leftOut,
		Timeout: s.Timeout, Concurrency: s.Concurrency,
	})
	if err != nil {
		return nil, nil, err
	}
	return target.Handle, target.Close, nil
}
