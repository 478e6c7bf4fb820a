package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"docspace-router/internal/admin"
)

func newEvents(env environment) *cobra.Command {
	return group(env, "events", "Lists events, shows them, routes them again",
		`events shows the deliveries that the running gateway has stored, and has them routed
again, through the admin listener. Why a rule did not match one says explain --event.`,
		newEventsList(env), newEventsShow(env), newEventsReplay(env))
}

func newEventsList(env environment) *cobra.Command {
	var gateway adminFlags
	var list listFlags
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "Lists events, the newest first",
		Example: `  docspace-router events list --state ignored --since 1h`,
		Args:    cobra.NoArgs,
	}
	gateway.add(cmd)
	withVariables(cmd)
	list.add(cmd, "pending", "routed", "ignored", "failed")
	list.addLimit(cmd)
	output := addOutput(cmd)
	return asking(env, cmd, func(cmd *cobra.Command, _ []string) error {
		all, more, err := collectEvents(cmd.Context(), gateway, &list)
		switch {
		case err != nil:
			return err
		case output.value == "json":
			return writeJSON(env.stdout, map[string]any{"events": orEmpty(all), "more": more})
		case len(all) == 0:
			fmt.Fprintln(env.stderr, "no events")
			return nil
		}
		t := newTable(env.stdout, "ID", inZone("RECEIVED"), "STATE", "TRIGGER", "TITLE", "WHY")
		for _, e := range all {
			t.row(fmt.Sprint(e.ID), clockTime(e.ReceivedAt), string(e.State), t.cell(e.Trigger, 14), t.cell(e.Title, 26), printable(e.Reason))
		}
		if err := t.end(); err != nil {
			return err
		}
		if more {
			fmt.Fprintf(env.stderr, "there are more: narrow the list, or raise --limit above %d\n", len(all))
		}
		return nil
	})
}

func collectEvents(ctx context.Context, gateway adminFlags, l *listFlags) (all []admin.Event, more bool, err error) {
	return collect(ctx, gateway, "/api/v1/events", l, func() (any, func() ([]admin.Event, string)) {
		var page struct {
			Events     []admin.Event `json:"events"`
			NextCursor string        `json:"next_cursor"`
		}
		return &page, func() ([]admin.Event, string) { return page.Events, page.NextCursor }
	})
}

func newEventsShow(env environment) *cobra.Command {
	var gateway adminFlags
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Shows one event, its transfers and its body",
		Example: `  docspace-router events show 42`,
		Args:    oneID("the event"),
	}
	gateway.add(cmd)
	withVariables(cmd)
	output := addOutput(cmd)
	return asking(env, cmd, func(cmd *cobra.Command, args []string) error {
		ids, err := idArgs("an event", args)
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := gateway.get(cmd.Context(), fmt.Sprintf("/api/v1/events/%d", ids[0]), &raw); err != nil {
			return err
		}
		var story struct {
			admin.Event
			Body      json.RawMessage  `json:"body"`
			Transfers []admin.Transfer `json:"transfers"`
		}
		if err := json.Unmarshal(raw, &story); err != nil {
			return fmt.Errorf("the answer is not the admin API's: %w", err)
		}
		if output.value == "json" {
			return writeJSON(env.stdout, story)
		}
		printEvent(env.stdout, story.Event)
		if len(story.Transfers) > 0 {
			fmt.Fprintln(env.stdout)
			if err := printTransfers(env, story.Transfers, false); err != nil {
				return err
			}
		}
		var body bytes.Buffer
		if json.Indent(&body, story.Body, "", "  ") != nil {
			body.Write(story.Body)
		}
		fmt.Fprintf(env.stdout, "\n%s\n", body.String())
		return nil
	})
}

func printEvent(w io.Writer, e admin.Event) {
	fmt.Fprintln(w, printable(fmt.Sprintf("event %d: %s of %s %s %q, portal %s", e.ID, e.Trigger, e.EntryKind, e.EntryID, e.Title, e.Portal)))
	state := string(e.State)
	if e.Reason != "" {
		state += ": " + e.Reason
	}
	fmt.Fprintf(w, "  received   %s\n  routed     %s\n", clockTime(e.ReceivedAt), clockTimeOr(e.RoutedAt, "not yet"))
	fmt.Fprintln(w, printable("  now        "+state))
}

func newEventsReplay(env environment) *cobra.Command {
	var gateway adminFlags
	cmd := &cobra.Command{
		Use:   "replay ID",
		Short: "Routes an event again, by the rules in use",
		Long: `replay routes a stored event again, by the rules as they are now. Nothing is done twice:
what a rule wants done and an earlier transfer of the event did, to the same destination,
is left alone. If that transfer failed, it is queued again.`,
		Example: `  docspace-router events replay 42`,
		Args:    oneID("the event"),
	}
	gateway.add(cmd)
	withVariables(cmd)
	author := addAuthor(cmd)
	output := addOutput(cmd)
	return asking(env, cmd, func(cmd *cobra.Command, args []string) error {
		ids, err := idArgs("an event", args)
		if err != nil {
			return err
		}
		var e admin.Event
		if err := gateway.call(cmd.Context(), apiCall{
			method: http.MethodPost, path: fmt.Sprintf("/api/v1/events/%d/replay", ids[0]), author: author.of(env),
		}, &e); err != nil {
			return err
		}
		if output.value == "json" {
			return writeJSON(env.stdout, e)
		}
		fmt.Fprintf(env.stdout, "event %d is routed again\n", e.ID)
		return nil
	})
}
