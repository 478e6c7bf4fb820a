package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"
)

// RuleHits says how often a rule has sent an event on.
type RuleHits struct {
	Rule    string
	Hits    int64
	LastHit time.Time
}

// countHits adds the rules that a decision has transfers of, each once.
func countHits(hits map[string]int, d Decision) {
	of := map[string]bool{}
	for _, t := range d.Transfers {
		if !of[t.Rule] {
			of[t.Rule] = true
			hits[t.Rule]++
		}
	}
}

// saveHits adds to the rules' hits, in one order, so that replicas do not wait in a circle.
func saveHits(ctx context.Context, tx *sql.Tx, hits map[string]int, now time.Time) error {
	for _, rule := range slices.Sorted(maps.Keys(hits)) {
		if _, err := tx.ExecContext(ctx, `INSERT INTO rule_hits (rule, hits, last_hit) VALUES ($1, $2, $3)
			ON CONFLICT (rule) DO UPDATE SET hits = rule_hits.hits + $2, last_hit = $3`, rule, hits[rule], millis(now)); err != nil {
			return fmt.Errorf("count hits of rule %s: %w", rule, err)
		}
	}
	return nil
}

// Hits returns the hits of every rule that ever had one, by its name.
func (s *Store) Hits(ctx context.Context) (map[string]RuleHits, error) {
	list, err := queryAll(ctx, s.read, func(rows *sql.Rows) (h RuleHits, err error) {
		var last int64
		err = rows.Scan(&h.Rule, &h.Hits, &last)
		h.LastHit = fromMillis(last)
		return h, err
	}, `SELECT rule, hits, last_hit FROM rule_hits`)
	if err != nil {
		return nil, fmt.Errorf("read hits of rules: %w", err)
	}
	hits := make(map[string]RuleHits, len(list))
	for _, h := range list {
		hits[h.Rule] = h
	}
	return hits, nil
}
