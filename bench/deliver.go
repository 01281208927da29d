package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/deliver"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

const (
	// httpBareName is what deliveries over HTTP are compared with.
	httpBareName = "http-bare"
	benchSource  = "urn:protean:bench"
	// httpWorkers is how many requests run side by side.
	httpWorkers = 16
	// applicationVariable makes this program the application that is delivered to.
	applicationVariable = "OBSERVATORY_BENCH_APPLICATION"
)

// deliveries are those that post each message to an application of a process of
// its own, which answers at once.
func deliveries() []contestant {
	return []contestant{
		{
			Name: httpBareName, Note: "net/http: 16 workers post the bodies from memory",
			consume: postBodies(func(b body) http.Header { return b.plain }),
			prepare: func(context.Context, *round) error { return nil },
			settled: func(context.Context, *round) (bool, error) { return true, nil },
			verify:  func(context.Context, *round) error { return nil },
		},
		{
			Name: "http-bare-events", Note: "the same, with the headers of CloudEvents that ours sends",
			consume: postBodies(func(b body) http.Header { return b.event }),
			prepare: func(context.Context, *round) error { return nil },
			settled: func(context.Context, *round) (bool, error) { return true, nil },
			verify:  func(context.Context, *round) error { return nil },
		},
		{Name: "http-engine-16", Note: "ours as it comes, concurrency 16: read, decode, post, acknowledge", consume: consumeEngine(features{
			checksums: true, metrics: true, concurrency: httpWorkers, deliver: true,
		})},
	}
}

// postBodies is the loop that one writes by hand: so many workers, a client that
// keeps as many connections.
func postBodies(headers func(body) http.Header) func(context.Context, *round) error {
	return func(ctx context.Context, r *round) error {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: httpWorkers}}
		defer client.CloseIdleConnections()
		var next atomic.Int64
		var workers sync.WaitGroup
		errs := make(chan error, httpWorkers)
		for range httpWorkers {
			workers.Go(func() {
				for ctx.Err() == nil {
					i := int(next.Add(1)) - 1
					if i >= len(r.bodies) {
						return
					}
					b := r.bodies[i]
					if err := post(ctx, client, r.application, headers(b), b.data); err != nil {
						errs <- err
						return
					}
					r.handle(b.id, b.data)
				}
			})
		}
		workers.Wait()
		select {
		case err := <-errs:
			return unlessDone(ctx, err)
		default:
			<-ctx.Done()
			return nil
		}
	}
}

func post(ctx context.Context, client *http.Client, url string, headers http.Header, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = headers
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the application answered %s", answer.Status)
	}
	return nil
}

// body is what of a message is posted, with the headers that a loop of one's own
// would send, and with those of a CloudEvent.
type body struct {
	id    string
	data  []byte
	plain http.Header
	event http.Header
}

// bodiesOf are the bodies of messages. The headers are those that our own delivery
// sends, as an application reads them.
func bodiesOf(texts []string) ([]body, error) {
	plain := http.Header{"Content-Type": {"application/json"}}
	var event http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.Header.Del("Content-Length")
		event = r.Header
	}))
	defer server.Close()
	target, err := deliver.NewHTTP(deliver.HTTPConfig{URL: server.URL, Source: benchSource})
	if err != nil {
		return nil, err
	}
	defer target.Close()
	bodies := make([]body, len(texts))
	seen := make(map[string]http.Header) // there are few different ones but for their ids
	for i, text := range texts {
		e, err := message.Decode([]byte(text))
		if err != nil {
			return nil, err
		}
		h := e.Metadata.Headers
		headers, ok := seen[h.Type]
		if !ok {
			if err := target.Handle(context.Background(), &e); err != nil {
				return nil, err
			}
			headers, seen[h.Type] = event, event
		}
		headers = maps.Clone(headers)
		headers["Ce-Id"] = []string{h.ID}
		bodies[i] = body{id: h.ID, data: e.Data, plain: plain, event: headers}
	}
	return bodies, nil
}

// delivering returns a handler that posts as the engine's own handlers of a file
// do, and counts what was answered.
func delivering(r *round) (handler.Func, func() error, error) {
	target, err := deliver.NewHTTP(deliver.HTTPConfig{
		URL: r.application, Source: benchSource, Concurrency: httpWorkers,
		Timeout: 300 * time.Second, // the subscription's own, as in a file
	})
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, m *message.Envelope) error {
		if err := target.Handle(ctx, m); err != nil {
			return err
		}
		r.handle(m.Metadata.Headers.ID, m.Data)
		return nil
	}, target.Close, nil
}

// application is a program that reads what is posted to it and answers 204.
type application struct {
	url string
	cmd *exec.Cmd
	end io.Closer
}

// startApplication starts this very program as the application. The caller stops
// it.
func startApplication() (*application, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), applicationVariable+"=1")
	cmd.Stderr = os.Stderr
	end, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the application: %w", err)
	}
	a := &application{cmd: cmd, end: end}
	address := make([]byte, 64)
	n, err := out.Read(address)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the application printed no address: %w", err), a.stop())
	}
	a.url = "http://" + strings.TrimSpace(string(address[:n])) + "/events"
	return a, nil
}

// stop closes the application's standard input, at which it ends.
func (a *application) stop() error { return errors.Join(a.end.Close(), a.cmd.Wait()) }

// beApplication serves until standard input ends.
func beApplication() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	})}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
