package app

import "database/sql"

// DB is the writing side of the gateway's database, for tests that break it.
func (a *App) DB() *sql.DB { return a.store.DB() }
