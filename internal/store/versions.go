package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// RuleVersion is one version of the rules that was in use.
type RuleVersion struct {
	ID       int64
	Hash     string // of all its files
	Cause    string // what made the program load it
	LoadedAt time.Time
	Files    []RuleFile // in name order; of each only Name and Text are kept
}

// keptVersions is how many versions of the rules are remembered.
const keptVersions = 20

// saveVersion notes a version unless the newest one is the same: a restart, or another replica
// that loads the same file, changes nothing.
func saveVersion(ctx context.Context, tx *sql.Tx, v RuleVersion) error {
	var newest string
	err := tx.QueryRowContext(ctx, `SELECT hash FROM rule_versions ORDER BY id DESC LIMIT 1`).Scan(&newest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if newest == v.Hash {
		return nil
	}
	texts := make([]versionFile, len(v.Files))
	for i, f := range v.Files {
		texts[i] = versionFile{f.Name, string(f.Text)}
	}
	raw, err := json.Marshal(texts)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO rule_versions (hash, cause, loaded_at, files) VALUES ($1, $2, $3, $4)`,
		v.Hash, v.Cause, millis(v.LoadedAt), raw); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM rule_versions WHERE id <= (SELECT max(id) FROM rule_versions) - $1`, keptVersions)
	return err
}

type versionFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// RuleVersions returns the versions of the rules that were in use, newest first, and at most
// limit of them. Their text holds what secrets stand in it.
func (s *Store) RuleVersions(ctx context.Context, limit int) ([]RuleVersion, error) {
	list, err := queryAll(ctx, s.read, func(rows *sql.Rows) (v RuleVersion, err error) {
		var at int64
		var raw []byte
		if err := rows.Scan(&v.ID, &v.Hash, &v.Cause, &at, &raw); err != nil {
			return v, err
		}
		v.LoadedAt = fromMillis(at)
		var texts []versionFile
		if err := json.Unmarshal(raw, &texts); err != nil {
			return v, fmt.Errorf("version %d: %w", v.ID, err)
		}
		for _, f := range texts {
			v.Files = append(v.Files, RuleFile{Name: f.Name, Text: []byte(f.Text), LoadedAt: v.LoadedAt})
		}
		return v, nil
	}, `SELECT id, hash, cause, loaded_at, files FROM rule_versions ORDER BY id DESC LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("read versions of the rules: %w", err)
	}
	return list, nil
}
