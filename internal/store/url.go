package store

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

const wantURL = "want sqlite://FILE, such as sqlite://docspace-router.db, or postgres://USER:PASSWORD@HOST/DATABASE"

// CheckURL says what is wrong with the URL of a database, and opens nothing.
func CheckURL(raw string) error {
	scheme, _, ok := strings.Cut(raw, "://")
	switch {
	case !ok:
		return errors.New("the database URL has no scheme: " + wantURL)
	case scheme == "sqlite":
		_, err := sqlitePath(raw)
		return err
	case scheme == "postgres" || scheme == "postgresql":
		_, err := postgresConfig(raw)
		return err
	default:
		// No more than the scheme is shown: what follows may hold a password in several places.
		return fmt.Errorf("database %s://…: %s", scheme, wantURL)
	}
}

func postgresConfig(raw string) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(raw)
	if err != nil {
		// The parser's error quotes the URL, and with it the password in some of its forms.
		return nil, errors.New("the database URL cannot be read: " + wantURL)
	}
	return c, nil
}
