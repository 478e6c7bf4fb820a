package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"docspace-router/internal/event"
)

// FolderKey names a folder by its place: the title that a rule's path asks for, below a parent.
type FolderKey struct {
	Portal string
	Parent event.ID
	Title  string // case does not matter
}

func (k FolderKey) values() []any {
	return []any{k.Portal, string(k.Parent), strings.ToLower(k.Title)}
}

// PathFolder is what is known of such a folder.
type PathFolder struct {
	ID     event.ID  // empty while it is not known
	Title  string    // as the portal has it
	SentAt time.Time // a call to create it whose outcome is unknown; zero: there is none
	KeptAt time.Time // when it was last seen to be there
	// Refused is the portal's answer to the last call to create it; the zero value: it has not
	// refused.
	Refused Refusal
}

// Refusal is an answer of the portal that creates no folder.
type Refusal struct {
	Until  time.Time // nobody calls again before; set by the store
	Status int       // 0 where the answer is about the gateway rather than the folder
	Reason string
}

// PathFolder returns what is known of a folder; the zero value where nothing is.
func (s *Store) PathFolder(ctx context.Context, k FolderKey) (PathFolder, error) {
	var f PathFolder
	var sent, kept, until int64
	err := s.read.QueryRowContext(ctx, `SELECT folder_id, title, sent_at, kept_at, refused_until, refused_status, refused_reason
		FROM path_folders WHERE portal = $1 AND parent = $2 AND name = $3`, k.values()...).
		Scan(&f.ID, &f.Title, &sent, &kept, &until, &f.Refused.Status, &f.Refused.Reason)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return PathFolder{}, fmt.Errorf("read folder %q below %s: %w", k.Title, k.Parent, err)
	}
	f.SentAt, f.KeptAt, f.Refused.Until = fromMillis(sent), fromMillis(kept), fromMillis(until)
	return f, nil
}

// BeginFolder makes the caller the one that creates a folder, and takes a write from the portal's
// budget; wait says that there is none. The caller has looked for the folder at lookedAt. It is
// refused while the folder is known, while the portal's last refusal holds, and until an earlier
// call whose outcome is unknown has lain settleAfter before that look: what such a call made would
// have been seen by then.
func (s *Store) BeginFolder(ctx context.Context, k FolderKey, lookedAt time.Time, settleAfter time.Duration, b Budget) (
	begun bool, wait time.Duration, err error,
) {
	err = s.InTx(ctx, func(tx *sql.Tx) error {
		now := s.now()
		result, err := tx.ExecContext(ctx, `INSERT INTO path_folders (portal, parent, name, sent_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (portal, parent, name) DO UPDATE SET sent_at = excluded.sent_at
			WHERE path_folders.folder_id = '' AND path_folders.sent_at <= $5 AND path_folders.refused_until <= $4`,
			append(k.values(), millis(now), millis(lookedAt.Add(-settleAfter)))...)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n == 0 || err != nil {
			return err
		}
		if wait, err = takeWrite(ctx, tx, k.Portal, "", b, now); err != nil {
			return err
		}
		if wait > 0 {
			return errNoWrite
		}
		begun = true
		return nil
	})
	if err != nil && !errors.Is(err, errNoWrite) {
		return false, 0, fmt.Errorf("begin folder %q below %s: %w", k.Title, k.Parent, err)
	}
	return begun && err == nil, wait, nil
}

var errNoWrite = errors.New("no write is left")

// KeepFolder stores that a folder is there.
func (s *Store) KeepFolder(ctx context.Context, k FolderKey, id event.ID, title string) error {
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO path_folders (portal, parent, name, folder_id, title, kept_at)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (portal, parent, name)
			DO UPDATE SET folder_id = excluded.folder_id, title = excluded.title, kept_at = excluded.kept_at, sent_at = 0,
				refusals = 0, refused_until = 0, refused_status = 0, refused_reason = ''`,
			append(k.values(), string(id), title, millis(s.now()))...)
		return err
	})
	if err != nil {
		return fmt.Errorf("store folder %q below %s: %w", k.Title, k.Parent, err)
	}
	return nil
}

// AbandonFolder stores that a call to create a folder was certainly refused, so that the next one
// need not wait.
func (s *Store) AbandonFolder(ctx context.Context, k FolderKey) error {
	return s.deleteFolder(ctx, k, "")
}

// The pause after a refusal doubles from the first to the longest.
const (
	refusedFirst   = 10 * time.Second
	refusedLongest = 5 * time.Minute
)

// RefuseFolder stores that the portal refused to create a folder, so that the events that want it
// do not spend a write each to hear the same. The pause grows with each refusal.
func (s *Store) RefuseFolder(ctx context.Context, k FolderKey, r Refusal) error {
	now := s.now()
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		var refusals int
		err := tx.QueryRowContext(ctx, `UPDATE path_folders SET sent_at = 0, refusals = refusals + 1, refused_status = $4,
				refused_reason = $5
			WHERE portal = $1 AND parent = $2 AND name = $3 AND folder_id = '' RETURNING refusals`,
			append(k.values(), r.Status, r.Reason)...).Scan(&refusals)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // somebody has found it
		}
		if err != nil {
			return err
		}
		pause := min(refusedFirst<<min(refusals-1, 10), refusedLongest)
		_, err = tx.ExecContext(ctx, `UPDATE path_folders SET refused_until = $4 WHERE portal = $1 AND parent = $2 AND name = $3`,
			append(k.values(), millis(now.Add(pause)))...)
		return err
	})
	if err != nil {
		return fmt.Errorf("store the refusal of folder %q below %s: %w", k.Title, k.Parent, err)
	}
	return nil
}

// ForgetFolder stores that a folder is no longer what the path means. Somebody who has found
// another one meanwhile is right.
func (s *Store) ForgetFolder(ctx context.Context, k FolderKey, id event.ID) error {
	return s.deleteFolder(ctx, k, id)
}

func (s *Store) deleteFolder(ctx context.Context, k FolderKey, id event.ID) error {
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM path_folders WHERE portal = $1 AND parent = $2 AND name = $3 AND folder_id = $4`,
			append(k.values(), string(id))...)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget folder %q below %s: %w", k.Title, k.Parent, err)
	}
	return nil
}

// PruneFolders deletes up to limit folders not seen since the given time, and returns how many.
// They are looked for again when they are needed.
func (s *Store) PruneFolders(ctx context.Context, before time.Time, limit int) (int, error) {
	var n int64
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		found, err := queryAll(ctx, tx, func(rows *sql.Rows) (k FolderKey, err error) {
			err = rows.Scan(&k.Portal, &k.Parent, &k.Title)
			return k, err
		}, `SELECT portal, parent, name FROM path_folders WHERE kept_at < $1 AND sent_at < $1 AND refused_until < $1 ORDER BY kept_at LIMIT $2`,
			millis(before), limit)
		if err != nil {
			return err
		}
		for _, k := range found {
			if _, err := tx.ExecContext(ctx, `DELETE FROM path_folders WHERE portal = $1 AND parent = $2 AND name = $3`,
				k.values()...); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("forget old folders: %w", err)
	}
	return int(n), nil
}

// Trail returns the steps by which the gateway's own work may have brought an entry to where it
// lies: those of every transfer into its folder and, as a copied folder brings along what is in
// it, of every folder into the folders above. Transfers that had ended by the given time caused
// nothing now, and those whose own step, the last of their trail, is not in force take no part in
// a circle.
func (s *Store) Trail(ctx context.Context, portal string, parent event.ID, above []event.ID, ended time.Time,
	inForce func(step string) bool,
) ([]string, error) {
	steps := map[string]bool{}
	add := func(query string, args ...any) error {
		trails, err := queryColumn[string](ctx, s.read, query, args...)
		for _, trail := range trails {
			taken := strings.Split(trail, "\n")
			if !inForce(taken[len(taken)-1]) {
				continue
			}
			for _, step := range taken {
				steps[step] = true
			}
		}
		return err
	}
	err := add(`SELECT DISTINCT trail FROM transfers WHERE trail <> '' AND portal = $1 AND destination = $2
		AND (ended_at = 0 OR ended_at > $3)`, portal, string(parent), millis(ended))
	if err == nil && len(above) > 0 {
		err = add(`SELECT DISTINCT trail FROM transfers WHERE trail <> '' AND portal = $1 AND entry_kind = 'folder'
			AND (ended_at = 0 OR ended_at > $2) AND destination IN `+placeholders(3, len(above)),
			append([]any{portal, millis(ended)}, anys(above)...)...)
	}
	if err != nil {
		return nil, fmt.Errorf("read the trail to folder %s: %w", parent, err)
	}
	return sortedKeys(steps), nil
}
