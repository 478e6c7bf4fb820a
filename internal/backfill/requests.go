package backfill

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// Request asks for a backfill.
type Request struct {
	Rule    string
	Portal  string    // needed for a rule of several portals
	Sources []string  // ids of rooms and folders, sources of the rule; none: all of them
	Since   time.Time // only what was created or changed then or later; zero: everything
}

// Status is a backfill as people are told of it.
type Status struct {
	ID        int64               `json:"id"`
	Portal    string              `json:"portal"`
	Rule      string              `json:"rule"`
	Sources   []string            `json:"sources,omitempty" doc:"the sources that were asked for; absent: all of the rule's"`
	Since     *time.Time          `json:"since,omitempty" doc:"entries that were neither created nor changed since are left out"`
	State     store.BackfillState `json:"state" enum:"running,done,cancelled"`
	Walked    bool                `json:"walked" doc:"whether every folder has been read"`
	Note      string              `json:"note,omitempty" doc:"what it waits for"`
	Tally     Tally               `json:"tally"`
	Transfers map[event.State]int `json:"transfers" doc:"the backfill's transfers by state"`
	CreatedAt time.Time           `json:"created_at"`
	EndedAt   *time.Time          `json:"ended_at,omitempty"`
}

// Ended is how many of the backfill's transfers have ended, of how many.
func (s Status) Ended() (ended, all int) {
	for state, n := range s.Transfers {
		all += n
		if state.Ended() {
			ended += n
		}
	}
	return ended, all
}

// begin checks a request and finds the folders to begin with.
func (s *Service) begin(ctx context.Context, r Request) (*walk, []store.BackfillFolder, error) {
	subject, err := newSubject(s.o.Snapshot(), r.Rule, r.Portal)
	if err != nil {
		return nil, nil, err
	}
	portal, ok := s.o.Portal(subject.portal)
	if !ok {
		return nil, nil, refuse("portal %s is not in the rules file", subject.portal)
	}
	folders, err := subject.sources(ctx, portal, r.Sources)
	if err != nil {
		return nil, nil, err
	}
	return &walk{Service: s, subject: subject, reader: portal, since: r.Since}, folders, nil
}

// Start begins a backfill. The error is a *Refusal where the request cannot be done, and else the
// portal's or the database's.
func (s *Service) Start(ctx context.Context, r Request, author string) (Status, error) {
	w, folders, err := s.begin(ctx, r)
	if err != nil {
		return Status{}, err
	}
	tally, err := newTally(nil)
	if err != nil {
		return Status{}, err
	}
	tally.FoldersFound = len(folders)
	raw, err := json.Marshal(tally)
	if err != nil {
		return Status{}, err
	}
	// The last one stored is walked first.
	slices.Reverse(folders)
	id, err := s.o.Store.CreateBackfill(ctx, store.Backfill{
		Portal: w.portal, Rule: r.Rule, Sources: r.Sources, Since: r.Since, Tally: raw,
	}, folders, func(tx *sql.Tx, id int64) error { return s.o.Enqueue(ctx, tx, w.portal, id) })
	switch {
	case errors.Is(err, store.ErrBackfillRuns):
		return Status{}, refuse("backfill %d of rule %s is under way: show or cancel that one", id, r.Rule)
	case err != nil:
		return Status{}, err
	}
	s.log.Info("backfill started", "portal", w.portal, "rule", r.Rule, "backfill", id, "author", author)
	return s.Status(ctx, id)
}

// Status tells of one backfill. The error is store.ErrNotFound where there is none.
func (s *Service) Status(ctx context.Context, id int64) (Status, error) {
	b, err := s.o.Store.Backfill(ctx, id)
	if err != nil {
		return Status{}, err
	}
	return s.statusOf(ctx, b)
}

func (s *Service) statusOf(ctx context.Context, b store.Backfill) (Status, error) {
	st := Status{
		ID: b.ID, Portal: b.Portal, Rule: b.Rule, Sources: b.Sources, State: b.State, Note: b.Note, CreatedAt: b.CreatedAt,
		Walked: b.State == store.BackfillDone,
	}
	if !b.Since.IsZero() {
		st.Since = &b.Since
	}
	if !b.EndedAt.IsZero() {
		st.EndedAt = &b.EndedAt
	}
	var err error
	if st.Tally, err = newTally(b.Tally); err != nil {
		return Status{}, fmt.Errorf("read the tally of backfill %d: %w", b.ID, err)
	}
	if b.State == store.BackfillRunning {
		next, err := s.o.Store.NextBackfillFolder(ctx, b.ID)
		if err != nil {
			return Status{}, err
		}
		st.Walked = next == nil
	}
	st.Transfers, err = s.o.Store.BackfillTransfers(ctx, b.ID)
	return st, err
}

// listed is how many backfills List tells of.
const listed = 100

// List tells of the latest backfills, newest first.
func (s *Service) List(ctx context.Context) ([]Status, error) {
	all, err := s.o.Store.Backfills(ctx, listed)
	if err != nil {
		return nil, err
	}
	return s.statuses(ctx, all)
}

// Running tells of the backfills under way.
func (s *Service) Running(ctx context.Context) ([]Status, error) {
	running, err := s.o.Store.RunningBackfills(ctx)
	if err != nil {
		return nil, err
	}
	return s.statuses(ctx, running)
}

func (s *Service) statuses(ctx context.Context, list []store.Backfill) (out []Status, err error) {
	out = make([]Status, len(list))
	for i, b := range list {
		if out[i], err = s.statusOf(ctx, b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Cancel ends a backfill: what it asked for and has not been sent is cancelled, what is on its way
// arrives. It can be asked for anew.
func (s *Service) Cancel(ctx context.Context, id int64, author string) (Status, error) {
	b, err := s.o.Store.Backfill(ctx, id)
	if err != nil {
		return Status{}, err
	}
	if b.State != store.BackfillRunning {
		return Status{}, refuse("backfill %d is %s already", id, b.State)
	}
	n, err := s.o.Store.CancelBackfill(ctx, id)
	if err != nil {
		return Status{}, err
	}
	s.log.Info("backfill cancelled", "portal", b.Portal, "rule", b.Rule, "backfill", id, "author", author, "transfers", n)
	return s.Status(ctx, id)
}

// Line is one entry that a backfill would route.
type Line struct {
	Kind  event.Kind `json:"kind" enum:"file,folder"`
	ID    event.ID   `json:"id"`
	Title string     `json:"title"`
	Bytes int64      `json:"bytes"`
	In    event.ID   `json:"in" doc:"the folder it lies in"`
	To    []Target   `json:"to"`
}

// Target is where an entry would go.
type Target struct {
	Action      event.Action `json:"action" enum:"copy,move"`
	Destination event.ID     `json:"destination" doc:"the folder that the rule names"`
	Path        []string     `json:"path,omitempty" doc:"folders below it, the uppermost first"`
}

// Rehearse walks as a backfill would and tells of every entry that would be routed, storing and
// changing nothing. It keeps the ids of the folders it has found in memory, and no more.
func (s *Service) Rehearse(ctx context.Context, r Request, tell func(Line) error) (Tally, error) {
	tally, err := newTally(nil)
	if err != nil {
		return tally, err
	}
	w, folders, err := s.begin(ctx, r)
	if err != nil {
		return tally, err
	}
	known := map[event.ID]bool{}
	for _, f := range folders {
		known[f.Folder] = true
	}
	tally.FoldersFound = len(folders)
	slices.Reverse(folders)
	for len(folders) > 0 {
		f := folders[len(folders)-1]
		found := tally.FoldersFound
		v, err := w.read(ctx, f, &tally)
		if err != nil {
			return tally, err
		}
		if folders[len(folders)-1] = v.is; v.is.Walked {
			folders = folders[:len(folders)-1]
		}
		tally.FoldersFound = found
		for _, sub := range v.found {
			if !known[sub.Folder] {
				known[sub.Folder] = true
				tally.FoldersFound++
				folders = append(folders, sub)
			}
		}
		for _, c := range v.going {
			tally.route(c.entry.Size, c.destinations())
			if err := tell(c.line()); err != nil {
				return tally, err
			}
		}
	}
	return tally, nil
}

func (c candidate) line() Line {
	l := Line{Kind: c.entry.Kind, ID: c.entry.ID, Title: c.entry.Title, Bytes: c.entry.Size, In: c.entry.ParentID}
	for _, m := range c.matches {
		l.To = append(l.To, Target{m.Action, m.Destination, m.Path})
	}
	return l
}
