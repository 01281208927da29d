package domain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// closable is a server that remembers in what order it was closed.
type closable struct {
	name   string
	closed *[]string
	err    error
}

func (c *closable) Ping(context.Context) error { return nil }
func (c *closable) Close(context.Context) error {
	*c.closed = append(*c.closed, c.name)
	return c.err
}

type fakeDatabase struct {
	closable
	spec DatabaseSpec
}

func (d *fakeDatabase) Source(domain, name string) collector.Source {
	return fakeSource{name: "database:" + name, domain: domain}
}

type fakeBroker struct {
	deadletter.Queue
	closable
	spec BrokerSpec
}

func (b *fakeBroker) Join(context.Context, consumergroup.Member) (consumergroup.Membership, error) {
	return nil, broker.ErrUnsupported
}
func (b *fakeBroker) Capabilities() broker.Capability { return 0 }
func (b *fakeBroker) Source(domain, name string, watched []collector.Watch) collector.Source {
	return fakeSource{name: "broker:" + name, domain: domain, watched: watched}
}

type fakeSource struct {
	name, domain string
	watched      []collector.Watch
}

func (s fakeSource) Name() string { return s.name }
func (s fakeSource) Collect(context.Context) (collector.Figures, error) {
	return collector.Figures{}, nil
}

// fakes are adapters that open nothing.
type fakes struct {
	closed    []string
	delivered []HandlerSpec
	fail      map[string]error // by what is opened, and "close "+it
}

func (f *fakes) adapters() Adapters {
	server := func(name string) closable { return closable{name: name, closed: &f.closed, err: f.fail["close "+name]} }
	openBroker := func(s BrokerSpec) (engine.Broker, error) {
		return &fakeBroker{closable: server("broker " + s.Name), spec: s}, f.fail["broker "+s.Name]
	}
	return Adapters{
		Brokers: map[string]func(BrokerSpec) (engine.Broker, error){"redis": openBroker, "inline": openBroker},
		Databases: map[string]func(context.Context, DatabaseSpec) (engine.Database, error){
			"postgresql": func(_ context.Context, s DatabaseSpec) (engine.Database, error) {
				return &fakeDatabase{closable: server("database " + s.Name), spec: s}, f.fail["database "+s.Name]
			},
		},
		Deliver: func(s HandlerSpec) (handler.Func, func() error, error) {
			f.delivered = append(f.delivered, s)
			release := func() error { f.closed = append(f.closed, "handler "+s.Name); return nil }
			return nothing, release, f.fail["handler "+s.Name]
		},
	}
}

func nothing(context.Context, *message.Envelope) error { return nil }

func quiet() OpenOption { return WithLogger(slog.New(slog.DiscardHandler)) }

func open(t *testing.T, text string, f *fakes) *Domain {
	t.Helper()
	d, err := Open(t.Context(), parse(t, text), f.adapters(), quiet())
	require.NoError(t, err)
	return d
}

const servers = `
server.default_subscription_type = "stream"
brokers.default = {provider = "redis", URI = "redis://h/0"}
brokers.partner = {provider = "redis", URI = "redis://h/1"}
brokers.lists = {provider = "redis_pubsub", URI = "redis://h/1"}
databases.default = {provider = "postgresql", database_uri = "postgresql://h/d"}
databases.search = {provider = "elasticsearch", database_uri = "{}"}
caches.default = {provider = "redis", URI = "redis://h/2"}
event_store = {provider = "message_db", database_uri = "postgresql://h/m"}
observatory.handlers.Mailer = {stream = "shop::order", deliver = "log:"}
`

func TestADomainOpensWhatHasAnAdapterAndClosesItInOrder(t *testing.T) {
	t.Parallel()
	f := &fakes{fail: map[string]error{"close broker partner": errors.New("stuck")}}
	d := open(t, servers, f)
	require.NotNil(t, d.Broker("default"))
	require.NotNil(t, d.Database("default"))
	require.Nil(t, d.Broker("lists"))
	require.Nil(t, d.Database("search"))
	require.Nil(t, d.Database("memory"))

	require.ErrorContains(t, d.Close(t.Context()), "broker partner")
	require.Equal(t, []string{"handler Mailer", "broker partner", "broker default", "database default"}, f.closed)
	require.NoError(t, d.Close(t.Context()), "closing again does nothing")
	require.Len(t, f.closed, 4)
}

func TestAnOpeningThatFailsClosesWhatItHadOpened(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"database default": {"broker partner", "broker default"},
		"broker partner":   {"broker default", "database default"},
		"handler Mailer":   {"broker partner", "broker default", "database default"},
	} {
		f := &fakes{fail: map[string]error{name: errors.New("no such thing")}}
		d, err := Open(t.Context(), parse(t, servers), f.adapters(), quiet())
		require.ErrorContains(t, err, "no such thing", name)
		require.Nil(t, d)
		require.Equal(t, want, f.closed, name)
	}
}

func TestReadinessAsksWhatIsOpenAndLeavesOutWhatIsNot(t *testing.T) {
	t.Parallel()
	c, err := open(t, servers, &fakes{}).Config()
	require.NoError(t, err)
	checks := c.Health.Checks
	require.Len(t, checks.Providers, 2) // default and memory; not search
	require.NoError(t, checks.Providers["memory"].Ping(t.Context()))
	require.Len(t, checks.Brokers, 2)
	require.Empty(t, checks.Caches)
	require.Nil(t, checks.EventStore)

	c, err = open(t, "", &fakes{}).Config()
	require.NoError(t, err)
	require.NoError(t, c.Health.Checks.Caches["default"].Ping(t.Context()))
	require.NoError(t, c.Health.Checks.EventStore.Ping(t.Context()))
	require.Equal(t, "0.0.0.0:8080", c.Health.Address)
	require.False(t, c.Health.Disabled)
}

func TestWhatIsNotOpenedIsWarnedOfOnceAndInTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := parse(t, servers)
	require.Empty(t, c.Warnings, "which adapters there are is not known before Open")
	d, err := Open(t.Context(), c, (&fakes{}).adapters(), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	require.NoError(t, err)
	var got []string
	for _, w := range d.Warnings() {
		require.Equal(t, config.CodeNotBuilt, w.Code)
		got = append(got, w.String())
	}
	require.Equal(t, []string{
		`[brokers.lists] provider: no adapter for "redis_pubsub": it is not opened, and left out of readiness`,
		`[caches.default] provider: no adapter for "redis": it is not opened, and left out of readiness`,
		`[databases.search] provider: no adapter for "elasticsearch": it is not opened, and left out of readiness`,
		`[event_store] provider: no adapter for "message_db": it is not opened, and left out of readiness`,
	}, got)
	_, err = d.Config()
	require.NoError(t, err)
	require.Equal(t, len(got), strings.Count(log.String(), "left out of readiness"), log.String())
}

func TestAnAdapterOfTheProgramsOwnIsNotWarnedOf(t *testing.T) {
	t.Parallel()
	f := &fakes{}
	with := f.adapters()
	with.Databases["elasticsearch"] = with.Databases["postgresql"]
	with.Brokers["redis_pubsub"] = with.Brokers["redis"]
	c := parse(t, "databases.search = {provider = \"elasticsearch\"}\nbrokers.lists = {provider = \"redis_pubsub\", URI = \"redis://h\"}")
	d, err := Open(t.Context(), c, with, quiet())
	require.NoError(t, err)
	require.Empty(t, d.Warnings())
	require.Empty(t, c.Warnings)
	require.NotNil(t, d.Database("search"))
}

// fullFile is a file with everything that Protean takes.
const fullFile = "../config/testdata/domain-full.toml"

func TestAFullProteanFileOpensWhereItsHandlersNeedNothingThatIsMissing(t *testing.T) {
	t.Parallel()
	for _, environment := range []string{"", "production", "staging", "others"} {
		c, err := config.Load(fullFile, environ(map[string]string{"PROTEAN_ENV": environment, "DATABASE_URL": "postgresql://h/d"}))
		require.NoError(t, err)
		d, err := Open(t.Context(), c, (&fakes{}).adapters(), quiet())
		require.NoError(t, err)
		require.NoError(t, d.Register(handler.Events("shop.Plain", "shop::order", handler.Any(nothing))))
		_, err = d.Config()
		if environment == "staging" {
			require.EqualError(t, err, fullFile+`: handler shop.Plain would read the event store, whose provider "message_db" this program has no adapter for: `+
				`set [server] default_subscription_type = "stream", or [server.subscriptions.Plain] subscription_type = "stream"; `+
				`a program that has a store in memory passes it in Adapters.EventStores`)
			continue
		}
		require.NoError(t, err)
	}
}

func TestAHandlerWhoseBrokerHasNoAdapterIsAnError(t *testing.T) {
	t.Parallel()
	d := open(t, "server.default_subscription_type = \"stream\"\nbrokers.default = {provider = \"redis_pubsub\", URI = \"redis://h\"}", &fakes{})
	require.NoError(t, d.Register(handler.Events("shop.Plain", "shop::order", handler.Any(nothing))))
	_, err := d.Config()
	require.EqualError(t, err, `shop/domain.toml: handler shop.Plain reads the broker "default", whose provider "redis_pubsub" `+
		`this program has no adapter for: set [brokers.default] provider to one that it has`)
}

func TestAFileThatNamesHandlersNeedsAProgramThatDelivers(t *testing.T) {
	t.Parallel()
	a := (&fakes{}).adapters()
	a.Deliver = nil
	_, err := Open(t.Context(), parse(t, servers), a, quiet())
	require.ErrorContains(t, err, "shop/domain.toml: [observatory.handlers] names handlers")
}

func TestADeliveryIsToldItsNameTimeAndWidth(t *testing.T) {
	t.Parallel()
	f := &fakes{}
	open(t, servers+"\nsource_uri = \"urn:x\"\nserver.subscriptions.Mailer.concurrency = 3", f)
	got := f.delivered[0]
	require.Equal(t, "shop", got.Domain)
	require.Equal(t, "urn:x", got.SourceURI)
	require.Equal(t, 3, got.Concurrency)
	require.Equal(t, "30s", got.Timeout.String())
	require.NotNil(t, got.Logger)
}

func TestHandlersOfTheFileOnABrokerInMemoryAreWarnedOf(t *testing.T) {
	t.Parallel()
	const handlers = "[observatory.handlers]\nA = {stream = \"s\", deliver = \"log:\"}\nB = {stream = \"s\", deliver = \"log:\"}\n"
	const warning = `[brokers.default] provider: "inline" is in the memory of this process: nothing that other programs publish reaches handler A, B; expected provider = "redis" and a URI`
	for file, want := range map[string]string{
		handlers: warning,
		handlers + "[brokers.main]\nprovider = \"redis\"\nURI = \"redis://h\"\n":    warning + "; or name the broker that each of them reads (broker = …): [brokers.main]",
		handlers + "[brokers.default]\nprovider = \"redis\"\nURI = \"redis://h\"\n": "",
		"": "", // handlers in Go may publish to it themselves
	} {
		warnings := open(t, file, &fakes{}).Warnings()
		if want == "" {
			require.Empty(t, warnings, file)
			continue
		}
		require.Len(t, warnings, 1, file)
		require.Equal(t, config.CodeInMemory, warnings[0].Code)
		require.Equal(t, want, warnings[0].String())
	}
}

// What an adapter says is wrong names the place in the file.
func TestAServerThatCannotBeOpenedIsNamedByItsKey(t *testing.T) {
	t.Parallel()
	f := &fakes{fail: map[string]error{"broker default": errors.New("no broker"), "database default": errors.New("no database")}}
	_, err := Open(t.Context(), parse(t, servers), f.adapters(), quiet())
	require.ErrorContains(t, err, "domain.toml: [brokers.default] URI: open broker default: no broker")
	require.ErrorContains(t, err, "domain.toml: [databases.default] database_uri: open database default: no database")
}

// The domain's name, where the file has none, is found in all streams.
func TestOpeningIsLinearInTheNumberOfHandlers(t *testing.T) { //nolint:paralleltest // it counts what the process allocates
	work := func(n int) uint64 {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, "observatory.handlers.H%d = {stream = \"s%d\", deliver = \"log:\"}\n", i, i)
		}
		c := parse(t, text.String())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Open(t.Context(), c, (&fakes{}).adapters(), quiet())
		require.NoError(t, err)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	require.Less(t, work(2400), 12*work(300))
}
