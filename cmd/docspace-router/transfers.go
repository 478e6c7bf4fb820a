package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"docspace-router/internal/admin"
	"docspace-router/internal/admin/names"
	"docspace-router/internal/event"
)

var transferStates = []string{"blocked", "queued", "sending", "done", "skipped", "failed", "cancelled"}

func newTransfers(env environment) *cobra.Command {
	return group(env, "transfers", "Lists transfers, tells their story, tries them again or cancels them",
		`transfers shows what the running gateway copies and moves, and steers it, through the
admin listener.`,
		newTransfersList(env), newTransfersShow(env), newTransfersRetry(env), newTransfersCancel(env))
}

func newTransfersList(env environment) *cobra.Command {
	var gateway adminFlags
	var list listFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists transfers, the newest first",
		Example: `  docspace-router transfers list --state failed
  docspace-router transfers list -q contract.pdf --since 24h
  docspace-router transfers list --room "Client A"`,
		Args: cobra.NoArgs,
	}
	gateway.add(cmd)
	withVariables(cmd)
	list.add(cmd, transferStates...)
	list.addRoom(cmd)
	list.addLimit(cmd)
	output := addOutput(cmd)
	return asking(env, cmd, func(cmd *cobra.Command, _ []string) error {
		var rooms []names.Place
		var note string
		first := true
		all, more, err := collect(cmd.Context(), gateway, "/api/v1/transfers", &list, func() (any, func() ([]admin.Transfer, string)) {
			var page struct {
				Transfers  []admin.Transfer `json:"transfers"`
				NextCursor string           `json:"next_cursor"`
				Rooms      []names.Place    `json:"rooms"`
				Note       string           `json:"note"`
			}
			return &page, func() ([]admin.Transfer, string) {
				if first {
					first, rooms, note = false, page.Rooms, page.Note
				}
				return page.Transfers, page.NextCursor
			}
		})
		if err != nil {
			return err
		}
		tellRooms(env, rooms, note)
		if output.value == "json" {
			err = writeJSON(env.stdout, map[string]any{"transfers": orEmpty(all), "more": more})
		} else {
			err = printTransfers(env, all, more)
		}
		if err != nil || len(all) > 0 || list.search == "" {
			return err
		}
		return hintAtEvents(cmd.Context(), env, gateway, list)
	})
}

// hintAtEvents says that what was searched for came in and led to no transfer, where it did.
func hintAtEvents(ctx context.Context, env environment, gateway adminFlags, l listFlags) error {
	known := []string{"pending", "ignored", "failed"}
	l = listFlags{known: known, states: strings.Join(known, ","), portal: l.portal, search: l.search, since: l.since, until: l.until, limit: 1}
	found, _, err := collectEvents(ctx, gateway, &l)
	if err == nil && len(found) > 0 {
		fmt.Fprintf(env.stderr, "an event of that title came in, and may have matched no rule: events list -q %s\n", quoted(l.search))
	}
	return err
}

// tellRooms says which rooms and folders a name was taken for.
func tellRooms(env environment, rooms []names.Place, note string) {
	if len(rooms) > 0 {
		fmt.Fprintln(env.stderr, printable("from or to "+placesText(rooms)))
	}
	if note != "" {
		fmt.Fprintln(env.stderr, printable(note))
	}
}

func placesText(rooms []names.Place) string {
	var list []string
	for _, r := range rooms {
		list = append(list, fmt.Sprintf("%s (%s)", r.Name, r.ID))
	}
	return strings.Join(list, ", ")
}

// orEmpty makes a list of no list.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func printTransfers(env environment, all []admin.Transfer, more bool) error {
	if len(all) == 0 {
		fmt.Fprintln(env.stderr, "no transfers")
		return nil
	}
	t := newTable(env.stdout)
	fillTransfers(t, all)
	if err := t.end(); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(env.stderr, "there are more: narrow the list, or raise --limit above %d\n", len(all))
	}
	return nil
}

// wideEnough is the width from which a terminal has room for the two ends of a transfer beside the why.
const wideEnough = 110

func fillTransfers(t table, all []admin.Transfer) {
	narrow := t.width > 0 && t.width < wideEnough
	row := func(id, created, state, rule, from, to, title, why string) {
		if narrow {
			t.row(id, created, state, t.cell(rule, 16), t.cell(title, 24), printable(why))
			return
		}
		t.row(id, created, state, t.cell(rule, 12), t.cell(from, 13), t.cell(to, 13), t.cell(title, 20), printable(why))
	}
	row("ID", inZone("CREATED"), "STATE", "RULE", "FROM", "TO", "TITLE", "WHY")
	for _, tr := range all {
		row(fmt.Sprint(tr.ID), clockTime(tr.CreatedAt), string(tr.State), tr.Rule,
			cmp.Or(tr.SourceTitle, tr.Source), cmp.Or(tr.DestinationTitle, tr.Destination), tr.Title, waitsFor(tr))
	}
}

// waitsFor says why a transfer is in its state.
func waitsFor(t admin.Transfer) string {
	if t.HeldBy == "" || t.HeldUntil == nil {
		return t.Reason
	}
	until, layout := t.HeldUntil.Local(), "15:04"
	if until.Format(time.DateOnly) != time.Now().Format(time.DateOnly) {
		layout = "01-02 15:04"
	}
	return fmt.Sprintf("held until %s: %s", until.Format(layout), t.HeldBy)
}

func newTransfersShow(env environment) *cobra.Command {
	var gateway adminFlags
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Tells the whole story of one transfer",
		Example: `  docspace-router transfers show 42`,
		Args:    oneID("the transfer"),
	}
	gateway.add(cmd)
	withVariables(cmd)
	output := addOutput(cmd)
	return asking(env, cmd, func(cmd *cobra.Command, args []string) error {
		ids, err := idArgs("a transfer", args)
		if err != nil {
			return err
		}
		var story admin.TransferStory
		if err := gateway.get(cmd.Context(), fmt.Sprintf("/api/v1/transfers/%d", ids[0]), &story); err != nil {
			return err
		}
		if output.value == "json" {
			return writeJSON(env.stdout, story)
		}
		printStory(env.stdout, story)
		return nil
	})
}

func printStory(w io.Writer, s admin.TransferStory) {
	line := func(format string, args ...any) { fmt.Fprintln(w, printable(fmt.Sprintf(format, args...))) }
	line("transfer %d: %s of %s %s %q from %s to folder %s, by rule %s of portal %s", s.ID, s.Action, s.EntryKind, s.EntryID, s.Title,
		withName(s.Source, s.SourceTitle), withName(s.Destination, s.DestinationTitle), s.Rule, s.Portal)
	state := string(s.State)
	if why := waitsFor(s.Transfer); why != "" {
		state += ": " + why
	}
	line("  now        %s", state)
	if s.NextAttemptAt != nil && s.NextAttemptAt.After(time.Now()) {
		line("  next try   %s", clockTime(*s.NextAttemptAt))
	}
	if d := s.Delivery; d != nil {
		line("%s  event %d, %s, %s", clockTime(d.ReceivedAt), d.ID, d.Trigger, d.State)
	}
	line("%s  rule %s made this transfer", clockTime(s.CreatedAt), s.Rule)
	for _, h := range s.History {
		text := h.Outcome
		if h.Operation != 0 {
			text = fmt.Sprintf("operation %d: %s", h.Operation, text)
		}
		if h.Reason != "" {
			text += ": " + h.Reason
		}
		if h.Times > 1 {
			text += fmt.Sprintf(" (%d times, until %s)", h.Times, clockTime(h.LastAt))
		}
		line("%s  %s", clockTime(h.At), text)
	}
	if op := s.LastOperation; op != nil && s.State == event.Sending {
		line("%s  operation %d: %s, with %s", clockTime(op.StartedAt), op.ID, op.State, count(op.Transfers, "transfer"))
	}
	if s.EndedAt != nil {
		text := string(s.State)
		if s.ResultTitle != "" {
			text += fmt.Sprintf(", as %q (%s)", s.ResultTitle, s.ResultID)
		}
		line("%s  %s", clockTime(*s.EndedAt), text)
	}
	if s.ResultLink != "" {
		line("  result     %s", s.ResultLink)
	}
	if s.DestinationLink != "" {
		line("  folder     %s", s.DestinationLink)
	}
}

// withName is the id of a room or folder, and what it is called where that is known.
func withName(id, name string) string {
	if name == "" {
		return id
	}
	return fmt.Sprintf("%s (%s)", id, name)
}

// printable leaves out what could move the cursor of a terminal.
func printable(s string) string { return short(s, max(len(s), 1)) }

func newTransfersRetry(env environment) *cobra.Command {
	var all bool
	cmd := newMany(env, "retry", &all)
	cmd.Short = "Queues failed or cancelled transfers again"
	cmd.Long = `retry queues transfers that failed or were cancelled again, as if they were new. What an
earlier attempt has done after all is looked for first, so that nothing is done twice.

Name transfers by their ids, or say which ones are meant: --all-failed, or a filter. A
filter without --state means those that failed. How many there are is said first.`
	cmd.Example = `  docspace-router transfers retry 42
  docspace-router transfers retry --all-failed --rule client-contracts`
	cmd.Flags().BoolVar(&all, "all-failed", false, "every transfer that failed")
	return cmd
}

func newTransfersCancel(env environment) *cobra.Command {
	var all bool
	cmd := newMany(env, "cancel", &all)
	cmd.Short = "Ends transfers that are blocked or queued"
	cmd.Long = `cancel ends transfers that wait. What is being sent can only be awaited.

Name transfers by their ids, or say which ones are meant: --all-waiting, or a filter. How
many there are is said first.`
	cmd.Example = `  docspace-router transfers cancel 42 43
  docspace-router transfers cancel --rule client-contracts --since 1h`
	cmd.Flags().BoolVar(&all, "all-waiting", false, "every transfer that is blocked or queued")
	return cmd
}

// newMany makes a command that acts on the transfers of some ids or of a filter.
func newMany(env environment, action string, all *bool) *cobra.Command {
	var gateway adminFlags
	var list listFlags
	var yes bool
	cmd := &cobra.Command{Use: action + " ID… | FILTER"}
	gateway.add(cmd)
	withVariables(cmd)
	list.add(cmd, transferStates...)
	list.addRoom(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask before many transfers are changed")
	author := addAuthor(cmd)
	output := addOutput(cmd)
	return asking(env, cmd, func(cmd *cobra.Command, args []string) error {
		ids, err := idArgs("a transfer", args)
		if err != nil {
			return err
		}
		filtered := len(list.query()) > 0
		switch {
		case len(ids) > 0 && (filtered || *all):
			return misused("name transfers by their ids or by a filter, not both")
		case len(ids) == 0 && !filtered && !*all:
			return misused("say which transfers: their ids, a filter such as --rule, or all of them with --all-%s", map[string]string{"retry": "failed", "cancel": "waiting"}[action])
		}
		scope := admin.ManyScope{IDs: ids, All: *all, Portal: list.portal, Rule: list.rule, Room: list.room, Search: list.search}
		states, err := list.chosen()
		if err != nil {
			return err
		}
		for _, state := range states {
			scope.States = append(scope.States, event.State(state))
		}
		if !list.since.IsZero() {
			scope.Since = &list.since.Time
		}
		if !list.until.IsZero() {
			scope.Until = &list.until.Time
		}
		return many(cmd.Context(), env, gateway, action, scope, author.of(env), yes, output.value)
	})
}

func many(ctx context.Context, env environment, gateway adminFlags, action string, scope admin.ManyScope, author string, yes bool, output string) error {
	send := func(s admin.ManyScope) (r admin.ManyResult, err error) {
		err = gateway.call(ctx, apiCall{
			method: http.MethodPost, path: "/api/v1/transfers/" + action, body: s, author: author, within: time.Hour,
		}, &r)
		return r, err
	}
	if len(scope.IDs) == 0 {
		dry := scope
		dry.DryRun = true
		counted, err := send(dry)
		switch {
		case err != nil:
			return err
		case counted.Matched == 0:
			tellRooms(env, counted.Rooms, counted.Note)
			return errors.New("no such transfers: nothing was done")
		}
		if err := confirm(env, yes, question(action, scope, counted)); err != nil {
			return err
		}
	}
	done, err := send(scope)
	if err != nil {
		return err
	}
	if output == "json" {
		if err := writeJSON(env.stdout, done); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(env.stdout, outcome(action, done))
		for _, r := range done.Refused {
			fmt.Fprintf(env.stderr, "transfer %d: %s\n", r.ID, r.Reason)
		}
	}
	if len(done.Refused) > 0 {
		return found()
	}
	return nil
}

// question says what is about to be done, and which rooms a name was taken for.
func question(action string, scope admin.ManyScope, counted admin.ManyResult) string {
	text := fmt.Sprintf("%s of %s", action, count(counted.Matched, "transfer"))
	switch {
	case len(counted.Rooms) > 0:
		text += " from or to " + placesText(counted.Rooms)
	case scope.Room != "":
		text += " from or to " + scope.Room
	}
	if text += "."; counted.Note != "" {
		text += " " + counted.Note
	}
	return printable(text)
}

// outcome says what became of the transfers that were meant.
func outcome(action string, done admin.ManyResult) string {
	how := map[string][2]string{"retry": {"retried", "queued again"}, "cancel": {"cancelled", "cancelled"}}[action]
	switch {
	case done.Acted > 0:
		return count(done.Acted, "transfer") + " " + how[1]
	case len(done.Refused) > 0:
		return "nothing was " + how[0]
	}
	return "nothing was " + how[0] + ": the transfers have changed meanwhile"
}
