package app

import (
	"database/sql"

	"github.com/prometheus/client_golang/prometheus"
)

// DB is the writing side of the gateway's database, for tests that break it.
func (a *App) DB() *sql.DB { return a.store.DB() }

// Registry is where the gateway's metrics are registered.
func (a *App) Registry() *prometheus.Registry { return a.registry }
