package app

import (
	"context"
	"database/sql"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DB is the writing side of the gateway's database, for tests that break it.
func (a *App) DB() *sql.DB { return a.store.DB() }

// Prune is one round of what retention does.
func (a *App) Prune(ctx context.Context, before time.Time) { a.prune(ctx, before) }

// Registry is where the gateway's metrics are registered.
func (a *App) Registry() *prometheus.Registry { return a.registry }
