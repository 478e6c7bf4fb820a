package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"modernc.org/sqlite"
)

// keptStatements is how many prepared statements a connection keeps. What runs all the time
// is far fewer; the rest are lists of ids of ever different length.
const keptStatements = 128

// openCaching opens a SQLite database whose connections keep the statements they prepared.
// SQLite parses a statement for longer than it takes to run one of ours, and the job queue,
// which shares the connection, sends each as plain text.
func openCaching(dsn string) (*sql.DB, error) {
	inner, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector{inner}), nil
}

type connector struct{ driver.Connector }

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := inner.(sqliteConn)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver lacks what statements are kept with"), inner.Close())
	}
	kept, err := simplelru.NewLRU(keptStatements, func(_ string, s *statement) { s.drop() })
	if err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	return &conn{sqliteConn: full, kept: kept}, nil
}

// sqliteConn is what the driver's connections can do.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// conn is a connection that keeps prepared statements. database/sql uses a connection from
// one goroutine at a time, so there is nothing to lock.
type conn struct {
	sqliteConn
	kept *simplelru.LRU[string, *statement]
}

type preparedStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// statement is a prepared statement and whether its rows are being read.
type statement struct {
	preparedStatement
	busy    bool
	dropped bool
}

// drop closes the statement, now or when its rows are closed.
func (s *statement) drop() {
	s.dropped = true
	if !s.busy {
		_ = s.Close() // it only gives memory back
	}
}

// hideLimits keeps SQLite from looking at the values of limits while it plans. It would else plan a kept
// statement anew whenever its limit is another one, as that of the job queue's is with each of its queues.
var hideLimits = strings.NewReplacer("LIMIT ?", "LIMIT 0+?", "LIMIT $", "LIMIT 0+$")

// prepared returns the kept statement of a text, or nil when it is being read already.
func (c *conn) prepared(ctx context.Context, query string) (*statement, error) {
	if s, ok := c.kept.Get(query); ok {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	inner, err := c.PrepareContext(ctx, hideLimits.Replace(query))
	if err != nil {
		return nil, err
	}
	full, ok := inner.(preparedStatement)
	if !ok {
		return nil, inner.Close()
	}
	s := &statement{preparedStatement: full}
	c.kept.Add(query, s)
	return s, nil
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.prepared(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	return s.ExecContext(ctx, args)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.prepared(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &keptRows{Rows: rows, statement: s}, nil
}

// Close implements driver.Conn.
func (c *conn) Close() error {
	c.kept.Purge()
	return c.sqliteConn.Close()
}

// keptRows give their statement back when they are closed.
type keptRows struct {
	driver.Rows
	statement *statement
}

// Close implements driver.Rows.
func (r *keptRows) Close() error {
	err := r.Rows.Close()
	if s := r.statement; s != nil {
		r.statement, s.busy = nil, false
		if s.dropped {
			_ = s.Close() // it only gives memory back
		}
	}
	return err
}
