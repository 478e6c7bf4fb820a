package routing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

// decide lets one version of the rules decide on one event.
func (r *Router) decide(ctx context.Context, snap Snapshot, pending store.PendingEvent) store.Decision {
	d := store.Decision{EventID: pending.ID}
	ev, err := event.Parse(pending.Body)
	if err != nil {
		d.State, d.Reason = event.EventFailed, fmt.Sprintf("the stored body cannot be read: %v", err)
		return d
	}
	r.locator.observe(pending.Portal, ev)

	portal, ok := snap.Portal(pending.Portal)
	if !ok {
		// It may have been taken out by mistake or renamed; its events wait for it.
		return store.Decision{EventID: pending.ID, State: event.EventPending,
			Reason: fmt.Sprintf("portal %s is not in the rules file any more", pending.Portal)}
	}

	facts := rules.Facts{Portal: pending.Portal, Event: ev, Now: r.now()}
	if err := r.locator.Complete(ctx, snap, &facts); err != nil {
		return r.undecided(d, pending, err)
	}
	happened := pending.HappenedAt
	if facts.Event.CreatedOn.IsZero() {
		// Dates are the portal's, as those of entries are, with which this one is compared.
		happened = happened.Add(portal.ClockOffset())
		facts.Event.CreatedOn = happened
	}
	result := snap.Rules.Match(&facts)

	d.State, d.Reason = event.EventRouted, ""
	if len(result.Matches) == 0 {
		d.State, d.Reason = event.EventIgnored, "no rule matched"
		if !snap.Rules.Wants(pending.Portal, ev.Trigger) {
			d.Reason = "no rule is about " + ev.Trigger
		}
	}
	var notes []string
	for _, s := range result.Suppressed {
		notes = append(notes, fmt.Sprintf("rule %s: %s", s.Rule, s.Reason))
	}
	for _, e := range result.Errors {
		notes = append(notes, fmt.Sprintf("rule %s: %s", e.Rule, e.Text))
	}
	for _, m := range result.Matches {
		entry := facts.Event.Entry
		switch {
		case m.Destination == entry.ParentID:
			notes = append(notes, fmt.Sprintf("rule %s: it already lies in folder %s", m.Rule, m.Destination))
			continue
		case entry.Kind == event.Folder && m.Destination == entry.ID:
			notes = append(notes, fmt.Sprintf("rule %s: it is the destination itself", m.Rule))
			continue
		}
		d.Transfers = append(d.Transfers, store.NewTransfer{
			Portal: pending.Portal, Rule: m.Rule, Action: m.Action, Conflict: m.Conflict,
			Entry: facts.Event.Entry, Destination: m.Destination, Trigger: ev.Trigger, WebhookID: ev.WebhookID,
			HappenedAt: happened,
		})
	}
	if len(result.Matches) > 0 && len(d.Transfers) == 0 {
		d.State = event.EventIgnored
	}
	d.Reason = joinReasons(d.Reason, notes)
	return d
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
		if err := fillEntry(ctx, portal, &f.Event.Entry); err != nil {
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
		f.ChainKnown = true
		return err
	case need.Has(rules.NeedEntry):
		return fillEntry(ctx, portal, &f.Event.Entry)
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
func fillEntry(ctx context.Context, portal Portal, e *event.Entry) error {
	var now event.Entry
	if e.Kind == event.Folder {
		f, err := portal.Folder(ctx, e.ID)
		if err != nil {
			return fmt.Errorf("read folder %s: %w", e.ID, err)
		}
		now = event.Entry{ParentID: f.ParentID, Title: f.Title, CreatedOn: f.Created, ModifiedOn: f.Updated, CreatedBy: f.CreatedBy}
	} else {
		f, err := portal.File(ctx, e.ID)
		if err != nil {
			return fmt.Errorf("read file %s: %w", e.ID, err)
		}
		now = event.Entry{
			ParentID: f.FolderID, Title: f.Title, CreatedOn: f.Created, ModifiedOn: f.Updated, CreatedBy: f.CreatedBy,
			ModifiedBy: f.UpdatedBy, Size: f.Size, Version: f.Version, Comment: f.Comment, IsForm: f.IsForm,
		}
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
	*e = now
	return nil
}

// undecided says what becomes of an event that could not be decided: it is tried again unless
// the portal's answer will stay the same.
func (r *Router) undecided(d store.Decision, pending store.PendingEvent, err error) store.Decision {
	switch {
	case errors.Is(err, ErrOwnEvent):
		d.State, d.Reason = event.EventIgnored, err.Error()
	case docspace.IsGone(err):
		d.State, d.Reason = event.EventFailed, fmt.Sprintf("%v: it was deleted before the event could be routed", err)
	case docspace.IsForbidden(err):
		d.State = event.EventFailed
		d.Reason = fmt.Sprintf("%v: give the gateway's account a role in the room, and upload it again", err)
	default:
		d.State, d.Reason = event.EventPending, err.Error()
	}
	return d
}
