package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// application is what the replicas deliver to: it notes each call and answers
// all of them with 204.
type application struct {
	url    string
	work   time.Duration
	h      *history
	server *http.Server
	serves sync.WaitGroup

	mu     sync.Mutex
	called map[int]bool // messages that were answered
	wrong  error        // a call that cannot be one of ours
}

// startApplication listens on a free port. The caller closes it.
func startApplication(h *history, work time.Duration) (*application, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &application{url: "http://" + l.Addr().String(), work: work, h: h, called: map[int]bool{}}
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	a.serves.Go(func() { _ = a.server.Serve(l) })
	return a, nil
}

// ServeHTTP takes the call of the process that the path names.
func (a *application) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r := record{Kind: kindCall, At: a.h.now(), From: strings.Trim(request.URL.Path, "/"), ID: request.Header.Get("ce-proteanentry")}
	own, number, ok := cutLast(request.Header.Get("ce-id"), "-")
	_, key, ok2 := cutLast(own, "-")
	var err, err2 error
	r.N, err = strconv.Atoi(number)
	r.Key, err2 = strconv.Atoi(key)
	if !ok || !ok2 || errors.Join(err, err2) != nil {
		a.mu.Lock()
		a.wrong = fmt.Errorf("the application was called with ce-id %q", request.Header.Get("ce-id"))
		a.mu.Unlock()
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	select {
	case <-time.After(a.work):
	case <-request.Context().Done(): // its process is gone, or gave up on the call
	}
	w.WriteHeader(http.StatusNoContent)
	r.End = a.h.now()
	a.h.add(r)
	a.mu.Lock()
	a.called[r.N] = true
	a.mu.Unlock()
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// missing is how many of the confirmed messages were not called yet.
func (a *application) missing() (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, r := range a.h.all() {
		if r.Kind == kindPublish && r.Outcome == outcomeOK && !a.called[r.N] {
			n++
		}
	}
	return n, a.wrong
}

func (a *application) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	err := a.server.Shutdown(ctx)
	a.serves.Wait()
	return err
}
