package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"docspace-router/internal/event"
)

// connections is how many connections one process opens to PostgreSQL. A server allows 100 by
// default, and several replicas share them.
const connections = 16

func openPostgres(ctx context.Context, o Options) (*Store, error) {
	c, err := postgresConfig(o.URL)
	if err != nil {
		return nil, err
	}
	where := fmt.Sprintf("postgres://%s:%d/%s", c.Host, c.Port, c.Database)
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	s := &Store{kind: PostgreSQL, write: db, read: db, now: o.Now}
	if err := s.migratePostgres(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", where, err), s.Close())
	}
	return s, nil
}

// migratePostgres lets one of several processes that start together migrate.
func (s *Store) migratePostgres(ctx context.Context) error {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	return migrate(ctx, s.write, goose.DialectPostgres, "postgres", goose.WithSessionLocker(locker))
}

// lockEntries makes transactions about the same entries wait for each other, so that two
// reports of one happening cannot both find that they are the first. On SQLite writing
// transactions are serial anyway.
func (s *Store) lockEntries(ctx context.Context, tx *sql.Tx, decisions []Decision) error {
	if s.kind != PostgreSQL {
		return nil
	}
	var keys []string
	for _, d := range decisions {
		for _, t := range d.Transfers {
			keys = append(keys, entryLock(t.Portal, t.Entry.Kind, t.Entry.ID))
		}
	}
	return lockAll(ctx, tx, keys)
}

func entryLock(portal string, kind event.Kind, id event.ID) string {
	return portal + " " + string(kind) + " " + string(id)
}

// lockAll takes advisory locks until the transaction ends.
func lockAll(ctx context.Context, tx *sql.Tx, keys []string) error {
	// In one order, so that nobody waits in a circle.
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		if err := lockUntilEnd(ctx, tx, key); err != nil {
			return fmt.Errorf("lock entry: %w", err)
		}
	}
	return nil
}

// lockQueued leaves of transfers those that are still queued, and keeps them so until the transaction
// ends: somebody may be cancelling them. On SQLite writing transactions are serial anyway.
func (s *Store) lockQueued(ctx context.Context, tx *sql.Tx, taken []Transfer) ([]Transfer, error) {
	if s.kind != PostgreSQL {
		return taken, nil
	}
	queued := make(map[int64]bool, len(taken))
	ids := make([]int64, len(taken))
	for i, t := range taken {
		ids[i] = t.ID
	}
	err := inChunks(ids, 500, func(chunk []int64) error {
		found, err := queryColumn[int64](ctx, tx, `SELECT id FROM transfers WHERE state = 'queued' AND id IN `+
			placeholders(1, len(chunk))+` ORDER BY id FOR UPDATE`, anys(chunk)...)
		for _, id := range found {
			queued[id] = true
		}
		return err
	})
	return slices.DeleteFunc(taken, func(t Transfer) bool { return !queued[t.ID] }), err
}

// unlocked makes of a condition on blocked transfers one that leaves out those which another
// transaction has locked: somebody acts on them who may be waiting for this transaction. The sweep
// comes back to them.
func (s *Store) unlocked(condition string) string {
	if s.kind != PostgreSQL {
		return condition
	}
	return `id IN (SELECT id FROM transfers WHERE state || '' = 'blocked' AND ` + condition + ` FOR UPDATE SKIP LOCKED)`
}

// inOrder makes of a condition on a table's rows one that locks them first, in the order of their ids. So
// does everybody who changes several of them, and nobody waits in a circle. On SQLite writing
// transactions are serial anyway.
func (s *Store) inOrder(table, condition string) string {
	if s.kind != PostgreSQL {
		return condition
	}
	return `id IN (SELECT id FROM ` + table + ` WHERE ` + condition + ` ORDER BY id FOR UPDATE)`
}

// lockTwins locks, in the order of their ids, what transfers of some entries may queue again,
// overtake or rely on. The entries themselves are locked already.
func (s *Store) lockTwins(ctx context.Context, tx *sql.Tx, decisions []Decision) error {
	if s.kind != PostgreSQL {
		return nil
	}
	entries := map[[3]string]bool{}
	for _, d := range decisions {
		for _, t := range d.Transfers {
			entries[[3]string{t.Portal, string(t.Entry.Kind), string(t.Entry.ID)}] = true
		}
	}
	var rows []string
	var args []any
	for e := range entries {
		rows = append(rows, placeholders(len(args)+1, len(e)))
		args = append(args, anys(e[:])...)
	}
	if len(rows) == 0 {
		return nil
	}
	_, err := queryColumn[int64](ctx, tx, `SELECT id FROM transfers WHERE (portal, entry_kind, entry_id) IN (`+strings.Join(rows, ", ")+`)
		AND (state || '' = 'failed' OR backfill > 0 AND state || '' IN ('queued', 'blocked', 'sending')) ORDER BY id FOR UPDATE`, args...)
	if err != nil {
		return fmt.Errorf("lock transfers of the same entries: %w", err)
	}
	return nil
}

// lockDestination makes claims for one destination wait for each other, so that each sees what
// the others are about to put there. On SQLite writing transactions are serial anyway.
func (s *Store) lockDestination(ctx context.Context, tx *sql.Tx, portal string, destination event.ID) error {
	if s.kind != PostgreSQL {
		return nil
	}
	if err := lockUntilEnd(ctx, tx, "destination "+portal+" "+string(destination)); err != nil {
		return fmt.Errorf("lock destination: %w", err)
	}
	return nil
}

// lockUntilEnd takes an advisory lock until the transaction ends.
func lockUntilEnd(ctx context.Context, tx *sql.Tx, key string) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, key)
	return err
}
