package main

import (
	"context"
	"fmt"
	"time"

	"docspace-router/internal/pgtest"
)

// usePostgres starts a server for the rounds that are played one after the other with these
// options; each gets a database of its own.
func (o *roundOptions) usePostgres(ctx context.Context) (stop func() error, err error) {
	server, err := pgtest.Start(ctx)
	if err != nil {
		return nil, err
	}
	o.server = server
	o.database = func(ctx context.Context, _ string) (string, error) { return server.Database(ctx) }
	return func() error { return server.Stop(context.WithoutCancel(ctx)) }, nil
}

// databaseTrouble restarts the database server under the gateways, in good order or by a crash
// after which it is away for a while.
func (w *round) databaseTrouble(at, away time.Duration) []event {
	server := w.options.server
	tell := func(err error) {
		if err != nil {
			w.note(fmt.Errorf("restart the database: %w", err))
		}
	}
	if chance(w.rng, 50) {
		return []event{{at: at, what: "fault restart database", do: func() {
			w.count("database restarted")
			tell(server.Restart(context.Background()))
		}}}
	}
	return []event{
		{at: at, what: "fault kill database", do: func() {
			w.count("database killed")
			tell(server.Kill())
		}},
		{at: at + away, what: "start database", do: func() { tell(server.Restart(context.Background())) }},
	}
}
