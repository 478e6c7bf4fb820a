package routing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

// decide lets one version of the rules decide on one event.
func (r *Router) decide(ctx context.Context, snap Snapshot, pending store.PendingEvent) store.Decision {
	d := store.Decision{EventID: pending.ID, Was: pending.Owed}
	ev, err := event.Parse(pending.Body)
	if err != nil {
		d.State, d.Reason = event.EventFailed, fmt.Sprintf("the stored body cannot be read: %v", err)
		return d
	}
	r.locator.observe(pending.Portal, ev)
	r.folders.observe(pending.Portal, ev)

	portal, ok := snap.Portal(pending.Portal)
	if !ok {
		// It may have been taken out by mistake or renamed; its events wait for it.
		d.State, d.Owed = event.EventPending, pending.Owed
		d.Reason = fmt.Sprintf("portal %s is not in the rules file any more", pending.Portal)
		return d
	}

	facts := rules.Facts{Portal: pending.Portal, Event: ev, Now: r.now()}
	if err := r.locator.Complete(ctx, snap, &facts); err != nil {
		return r.undecided(d, pending, snap, &facts, err)
	}
	happened := pending.HappenedAt
	if facts.Event.CreatedOn.IsZero() && snap.Rules.Wants(pending.Portal, ev.Trigger) {
		// Dates are the portal's, as those of entries are, with which this one is compared.
		offset, err := portal.Clock(ctx)
		if err != nil {
			return r.undecided(d, pending, snap, &facts, err)
		}
		happened = happened.Add(offset)
		facts.Event.CreatedOn = happened
	}
	d.State, d.Reason = event.EventRouted, ""
	result := snap.Rules.Match(&facts)
	if len(pending.Owed) > 0 {
		result = onlyOwed(result, pending.Owed)
	} else if len(result.Matches) == 0 {
		d.State, d.Reason, d.Why = event.EventIgnored, "no rule matched", whyNoMatch
		if !snap.Rules.Wants(pending.Portal, ev.Trigger) {
			d.Reason, d.Why = "no rule is about "+ev.Trigger, whyNoRule
		}
	}
	notes, pathFailed := notesOf(result)
	trail, err := r.trail(ctx, snap, portal, &facts, pending, result.Matches)
	if err != nil {
		return r.undecided(d, pending, snap, &facts, err)
	}
	var here time.Time
	if len(result.Matches) > 0 {
		here = r.here(ctx, portal, happened)
	}
	placed := event.EventRouted
	unplaced := map[string]bool{} // rules with a destination that is not known
	for _, m := range result.Matches {
		t := store.NewTransfer{
			Portal: pending.Portal, Rule: m.Rule, Action: m.Action, Conflict: m.Conflict, Entry: facts.Event.Entry,
			Source: m.Source, Destination: m.Destination, Base: m.Destination, Trigger: ev.Trigger, WebhookID: ev.WebhookID, HappenedAt: happened, HappenedHere: here,
		}
		if facts.Own {
			if t.Trail, err = trail.with(m); err != nil {
				r.metrics.loop(pending.Portal, m.Rule)
				r.log.Warn("loop stopped", "portal", pending.Portal, "event", pending.ID, "rule", m.Rule, "reason", err.Error())
				notes = append(notes, fmt.Sprintf("rule %s: %v", m.Rule, err))
				continue
			}
		}
		if len(m.Path) > 0 {
			if t.Destination, err = r.folders.resolve(ctx, pending.Portal, portal, r.budget(pending.Portal, ev), m.Destination, m.Path); err != nil {
				// What other rules want of the entry does not wait for this one's destination.
				state, reason := r.unplaced(pending, m, err)
				unplaced[m.Rule] = true
				if placed != event.EventPending {
					placed = state
				}
				notes = append(notes, reason)
				continue
			}
		}
		if why := Stays(t.Entry, t.Destination); why != "" {
			notes = append(notes, fmt.Sprintf("rule %s: %s", m.Rule, why))
			continue
		}
		d.Transfers = append(d.Transfers, t)
	}
	switch {
	case placed == event.EventPending:
		d.State = placed
		d.Transfers, d.Owed = withhold(d.Transfers, unplaced)
		if len(d.Transfers) == 0 && len(pending.Owed) == 0 {
			d.Owed = nil // nothing is decided yet
		}
	case placed == event.EventFailed:
		d.State = placed
	case len(d.Transfers) > 0, len(pending.Owed) > 0:
	case pathFailed:
		// A rule wanted the entry and could not say where: that must not pass for unwanted.
		d.State, d.Reason = event.EventFailed, ""
	case len(result.Matches) > 0:
		d.State, d.Why = event.EventIgnored, whyInPlace
	}
	d.Reason = joinReasons(d.Reason, notes)
	return d
}

// late is how old an event is that may be about what was brought since. One of this moment is not
// worth asking the portal for its time.
const late = 10 * time.Second

// here is a moment of the portal's clock by the gateway's; zero where it is not past for long, or
// the portal does not tell its time.
func (r *Router) here(ctx context.Context, portal Portal, happened time.Time) time.Time {
	if r.now().Sub(happened) < late {
		return time.Time{}
	}
	offset, err := portal.Clock(ctx)
	if err != nil {
		return time.Time{}
	}
	return happened.Add(-offset)
}

// withhold leaves out the transfers of rules that lack a destination, and moves: a move comes
// after the event's copies, and one of those has not even begun. It returns the rules that are
// owed then. A rule is decided on whole, so that its next version cannot repeat a part of it.
func withhold(transfers []store.NewTransfer, unplaced map[string]bool) (now []store.NewTransfer, owed []string) {
	for _, t := range transfers {
		if t.Action == event.Move || unplaced[t.Rule] {
			unplaced[t.Rule] = true
		} else {
			now = append(now, t)
		}
	}
	return now, slices.Sorted(maps.Keys(unplaced))
}

// onlyOwed leaves of a result what concerns the rules that an event is owed. One that is gone or
// has changed so that it no longer matches is noted.
func onlyOwed(result rules.Result, owed []string) rules.Result {
	told := map[string]bool{}
	others := func(rule string) bool {
		told[rule] = true
		return !slices.Contains(owed, rule)
	}
	result.Matches = slices.DeleteFunc(result.Matches, func(m rules.Match) bool { return others(m.Rule) })
	result.Suppressed = slices.DeleteFunc(result.Suppressed, func(s rules.Suppressed) bool { return others(s.Rule) })
	result.Errors = slices.DeleteFunc(result.Errors, func(e rules.EvalError) bool { return others(e.Rule) })
	result.Notes = slices.DeleteFunc(result.Notes, func(n rules.Note) bool { return others(n.Rule) })
	for _, rule := range owed {
		if !told[rule] {
			result.Notes = append(result.Notes, rules.Note{Rule: rule, Text: "the rules changed while its destination was awaited, and it does not match any more"})
		}
	}
	return result
}

// Stays says why there is nothing to do for a match, or "": the entry is where it is to go.
func Stays(entry event.Entry, destination event.ID) string {
	switch {
	case destination == entry.ParentID:
		return fmt.Sprintf("it already lies in folder %s", destination)
	case entry.Kind == event.Folder && destination == entry.ID:
		return "it is the destination itself"
	}
	return ""
}

// notesOf says what people should know of a result beside its matches.
func notesOf(result rules.Result) (notes []string, pathFailed bool) {
	for _, s := range result.Suppressed {
		notes = append(notes, fmt.Sprintf("rule %s: %s", s.Rule, s.Reason))
	}
	for _, e := range result.Errors {
		notes = append(notes, fmt.Sprintf("rule %s: %s: %s", e.Rule, e.Field, e.Text))
		pathFailed = pathFailed || e.Field == rules.OnPath
	}
	for _, n := range result.Notes {
		notes = append(notes, fmt.Sprintf("rule %s: %s", n.Rule, n.Text))
	}
	return notes, pathFailed
}

func joinReasons(reason string, notes []string) string {
	if reason != "" {
		notes = append([]string{reason}, notes...)
	}
	return strings.Join(notes, "; ")
}

// ErrOwnEvent marks an event that the gateway's own copy or move caused.
var ErrOwnEvent = errors.New("caused by the gateway itself")

// Complete asks the portal for what the rules must know of the event and the delivery did not
// say. An event that no rule is about costs no call. It returns ErrOwnEvent for an event that
// the gateway caused itself.
func (l *Locator) Complete(ctx context.Context, snap Snapshot, f *rules.Facts) error {
	if !snap.Rules.Wants(f.Portal, f.Event.Trigger) {
		return nil
	}
	portal, ok := snap.Portal(f.Portal)
	if !ok {
		return fmt.Errorf("portal %s is not in the rules file", f.Portal)
	}
	if event.OwnWork(f.Event.Trigger) {
		if err := l.fetch(ctx, portal, f, rules.NeedOwn); err != nil {
			return err
		}
		// Folders made for a path are part of a destination; nobody put them there.
		if f.Own && (f.Event.Trigger == event.FolderCreated || !snap.Rules.WantsOwn(f.Portal, f.Event.Trigger)) {
			return ErrOwnEvent
		}
	}
	// A flat body may say nothing of where the entry lies, or what it is called.
	if f.Event.Entry.ParentID == "" || f.Event.Entry.Title == "" {
		err := l.fillEntry(ctx, f.Portal, portal, &f.Event.Entry)
		if docspace.IsForbidden(err) {
			return &hiddenError{what: fmt.Sprintf("%s %s", f.Event.Entry.Kind, f.Event.Entry.ID), err: err}
		}
		if err != nil {
			return err
		}
	}
	// Knowing the place brings rules into view that may ask for more, so ask again.
	for need := snap.Rules.Needs(f); need != 0; need = snap.Rules.Needs(f) {
		if err := l.fetch(ctx, portal, f, need); err != nil {
			return err
		}
	}
	return nil
}

// fetch gets one of the things that are needed, the entry's place first.
func (l *Locator) fetch(ctx context.Context, portal Portal, f *rules.Facts, need rules.Need) (err error) {
	switch {
	case need.Has(rules.NeedOwn):
		self, err := l.selfID(ctx, f.Portal, portal)
		if err != nil {
			hint := ""
			if docspace.IsCredentials(err) {
				hint = " (the API key needs the scope accounts.self:read)"
			}
			return fmt.Errorf("find out the gateway's own account, to tell its work from people's%s: %w", hint, err)
		}
		f.Own, f.OwnKnown = f.Event.CreatedBy == self, true
		return nil
	case need.Has(rules.NeedChain):
		f.Chain, f.Room, err = l.chain(ctx, f.Portal, portal, f.Event.Entry.ParentID)
		f.ChainKnown = err == nil
		return err
	case need.Has(rules.NeedEntry):
		return l.fillEntry(ctx, f.Portal, portal, &f.Event.Entry)
	case need.Has(rules.NeedAuthor):
		f.AuthorKnown = true
		return l.author(ctx, f.Portal, portal, &f.Event.Entry.CreatedBy)
	case need.Has(rules.NeedRoomTags):
		f.RoomTagsKnown = true
		if f.Room != nil {
			f.Room.Tags, err = l.tags(ctx, f.Portal, portal, f.Room.ID)
		}
		return err
	default:
		return fmt.Errorf("the rules need something routing does not know of: %d", need)
	}
}

// fillEntry completes an entry with what the portal knows of it now. What the delivery said
// stays.
func (l *Locator) fillEntry(ctx context.Context, name string, portal Portal, e *event.Entry) error {
	at := version{place{name, e.ID}, e.Kind, e.ModifiedOn}
	ask := func(ctx context.Context) (event.Entry, error) { return readEntry(ctx, portal, e.Kind, e.ID) }
	var now event.Entry
	var err error
	if e.ModifiedOn.IsZero() {
		// The delivery does not say which version it is about, so no answer will do for another.
		l.metrics.count(lookup{name, string(e.Kind)}, fromPortal)
		now, err = ask(ctx)
	} else {
		now, err = remember(ctx, l, l.entries, lookup{name, string(e.Kind)}, at,
			fmt.Sprintf("%s of %s", e.ID, e.ModifiedOn.Format(time.RFC3339Nano)), ask)
	}
	if err != nil {
		return fmt.Errorf("read %s %s: %w", e.Kind, e.ID, err)
	}
	now.Kind, now.ID, now.RootType, now.Detailed = e.Kind, e.ID, e.RootType, true
	now.ParentID = cmp.Or(e.ParentID, now.ParentID)
	now.Title = cmp.Or(e.Title, now.Title)
	if !e.CreatedOn.IsZero() {
		now.CreatedOn = e.CreatedOn
	}
	if !e.ModifiedOn.IsZero() {
		now.ModifiedOn = e.ModifiedOn
	}
	if now.CreatedBy.ID == e.CreatedBy.ID {
		now.CreatedBy.Email = cmp.Or(e.CreatedBy.Email, now.CreatedBy.Email)
	}
	*e = now
	return nil
}

func readEntry(ctx context.Context, portal Portal, kind event.Kind, id event.ID) (event.Entry, error) {
	if kind == event.Folder {
		f, err := portal.Folder(ctx, id)
		return event.Entry{ParentID: f.ParentID, Title: f.Title, CreatedOn: f.Created, ModifiedOn: f.Updated, CreatedBy: f.CreatedBy}, err
	}
	f, err := portal.File(ctx, id)
	return event.Entry{
		ParentID: f.FolderID, Title: f.Title, CreatedOn: f.Created, ModifiedOn: f.Updated, CreatedBy: f.CreatedBy,
		ModifiedBy: f.UpdatedBy, Size: f.Size, Version: f.Version, Comment: f.Comment, IsForm: f.IsForm,
	}, err
}

// undecided says what becomes of an event that could not be decided: it is tried again unless
// the portal's answer will stay the same.
func (r *Router) undecided(d store.Decision, pending store.PendingEvent, snap Snapshot, f *rules.Facts, err error) store.Decision {
	var hidden *hiddenError
	switch {
	case errors.As(err, &hidden):
		d.State, d.Reason, d.Owed = event.EventPending, err.Error(), pending.Owed
		if r.now().Sub(pending.ReceivedAt) <= placeFor {
			break // the account may yet be invited
		}
		d.State, d.Owed, d.Why = event.EventIgnored, nil, whyNoAccess
		if snap.Rules.Match(f).Considered > 0 || len(pending.Owed) > 0 {
			d.State = event.EventFailed // a rule names this very folder
		}
	case errors.Is(err, ErrOwnEvent):
		d.State, d.Reason, d.Why = event.EventIgnored, err.Error(), whyOwn
	case docspace.IsGone(err):
		d.State, d.Reason = event.EventFailed, fmt.Sprintf("%v: it was deleted before the event could be routed", err)
	case docspace.IsForbidden(err):
		d.State = event.EventFailed
		d.Reason = fmt.Sprintf("%v: give the gateway's account a role in the room, and upload it again", err)
	default:
		d.State, d.Reason, d.Owed = event.EventPending, err.Error(), pending.Owed
	}
	return d
}

// placeFor is how long an event waits for a destination that the gateway's account may not use,
// as transfers do, or for a role in the room that the event tells of.
const placeFor = 24 * time.Hour

// unplaced says what becomes of an event with a rule whose destination cannot be found or made,
// and why. It is tried again as long as that can change.
func (r *Router) unplaced(pending store.PendingEvent, m rules.Match, err error) (event.EventState, string) {
	reason := fmt.Sprintf("rule %s: %v", m.Rule, err)
	over := r.now().Sub(pending.ReceivedAt) > placeFor
	switch {
	case docspace.IsGone(err):
		return event.EventFailed, reason + fmt.Sprintf(": the destination folder %s does not exist", m.Destination)
	case docspace.IsForbidden(err):
		reason += fmt.Sprintf(": make the gateway's account content creator or manager of the room of folder %s", m.Destination)
		if over {
			return event.EventFailed, reason
		}
	case refuses(err) && over:
		return event.EventFailed, reason
	}
	return event.EventPending, reason
}

// refuses reports whether the portal answered that it will not do this very thing. A portal that
// is down, asks to wait or rejects the gateway's key says nothing about it.
func refuses(err error) bool {
	var status *docspace.StatusError
	return errors.As(err, &status) && !docspace.IsCredentials(err) && status.StatusCode >= http.StatusBadRequest &&
		status.StatusCode < http.StatusInternalServerError && status.StatusCode != http.StatusTooManyRequests
}
