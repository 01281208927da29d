package engine

import "github.com/observatory-go/observatory/engine/health"

// serveHealth starts answering probes; nil where the engine serves none.
func (e *Engine) serveHealth() (*health.Server, error) {
	if e.cfg.Health.Disabled {
		return nil, nil //nolint:nilnil // no server is a valid answer
	}
	server, err := health.Start(e.cfg.Health.Address, health.New(health.Config{
		Alive:         e.Alive,
		Checks:        e.cfg.Health.Checks,
		Subscriptions: func() int { return len(e.runners) },
		ShuttingDown:  e.shuttingDown.Load,
		Drainer:       e,
		Token:         e.cfg.Health.Token,
		Logger:        e.cfg.Logger,
	}), e.cfg.Logger)
	if err == nil && e.cfg.Health.Listening != nil {
		e.cfg.Health.Listening(server.Addr())
	}
	return server, err
}
