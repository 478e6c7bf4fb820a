package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"docspace-router/internal/backfill"
	"docspace-router/internal/store"
)

// backfillFlags are what a backfill is asked for with.
type backfillFlags struct {
	rule, portal string
	sources      []string
	since        moment
	dryRun       bool
	detach       bool
	author       *authorFlag
}

func newBackfill(env environment) *cobra.Command {
	var gateway adminFlags
	var flags backfillFlags
	cmd := &cobra.Command{
		Use:   "backfill --rule NAME",
		Short: "Routes what lay in a rule's sources before the rule did",
		Long: `backfill asks the running gateway to walk the sources of a rule on the portal and to
route what it finds there by that rule: its conditions, its destinations, its paths.
What the rule has transferred before, or has queued, is left out; so is what the gateway
itself put there, unless the rule has own_events. Each entry counts as uploaded by its
author at the time of its creation. What people upload meanwhile does not wait.

The gateway does the work: it goes on when this command ends, by Ctrl-C too, and after a
restart of the gateway. Look at it with "backfill show", end it with "backfill cancel".

With --dry-run, backfill lists what would be routed, with totals, and stores nothing.

Exit status: 0 done, or nothing to do; 1 the gateway refused or could not be asked, or
some of the transfers failed; 2 wrong usage.`,
		Example: `  docspace-router backfill --rule client-contracts --dry-run
  docspace-router backfill --rule client-rooms --pair 539565 --since 2026-01-01
  docspace-router backfill show 3 --follow`,
		Args: cobra.NoArgs,
	}
	gateway.add(cmd)
	withVariables(cmd)
	output := addOutput(cmd)
	cmd.Flags().StringVar(&flags.rule, "rule", "", "the `name` of the rule")
	cmd.Flags().StringVar(&flags.portal, "portal", "", "the `name` of the portal; needed for a rule of several")
	cmd.Flags().StringSliceVar(&flags.sources, "pair", nil, "only this source of the rule, the `id` of a room or folder; may be repeated")
	cmd.Flags().Var(&flags.since, "since", "only what was created or changed since, such as 2026-01-31, 2026-01-31T08:00:00Z or 720h ago")
	cmd.Flags().BoolVar(&flags.dryRun, "dry-run", false, "list what would be routed, and store nothing")
	flags.author = addAuthor(cmd)
	cmd.Flags().BoolVar(&flags.detach, "detach", false, "do not wait for the end")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := fromEnvironment(cmd, env); err != nil {
			return err
		}
		switch {
		case flags.rule == "":
			return errors.New("name the rule with --rule")
		case flags.dryRun && flags.detach:
			return errors.New("a dry run prints what it finds: there is nothing to detach from")
		}
		ctx, stop := untilInterrupted(cmd.Context())
		defer stop()
		if flags.dryRun {
			return rehearse(ctx, env, gateway, flags, output.value)
		}
		return runBackfill(ctx, env, gateway, flags, output.value)
	}
	cmd.AddCommand(newBackfillList(env), newBackfillShow(env), newBackfillCancel(env))
	return cmd
}

// request is the body of a request for a backfill.
func (f backfillFlags) request() map[string]any {
	body := map[string]any{"rule": f.rule}
	if f.portal != "" {
		body["portal"] = f.portal
	}
	if len(f.sources) > 0 {
		body["sources"] = f.sources
	}
	if !f.since.IsZero() {
		body["since"] = f.since.Time
	}
	return body
}

func runBackfill(ctx context.Context, env environment, gateway adminFlags, flags backfillFlags, output string) error {
	var s backfill.Status
	if err := gateway.call(ctx, apiCall{method: http.MethodPost, path: "/api/v1/backfills", body: flags.request(), author: flags.author.of(env)}, &s); err != nil {
		return backfillFailed("backfill", err)
	}
	if flags.detach {
		return printBackfill(env.stdout, output, s)
	}
	return followBackfill(ctx, env, gateway, s, output)
}

// backfillFailed says what could not be done.
func backfillFailed(what string, err error) error {
	var status *statusError
	if errors.As(err, &status) {
		return err
	}
	return findings(fmt.Errorf("%s: %w", what, err))
}

func newBackfillList(env environment) *cobra.Command {
	var gateway adminFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists the latest backfills",
		Args:  cobra.NoArgs,
	}
	gateway.add(cmd)
	withVariables(cmd)
	output := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := fromEnvironment(cmd, env); err != nil {
			return err
		}
		var list struct {
			Backfills []backfill.Status `json:"backfills"`
		}
		if err := gateway.get(cmd.Context(), "/api/v1/backfills", &list); err != nil {
			return backfillFailed("list backfills", err)
		}
		if output.value == "json" {
			return writeJSON(env.stdout, list.Backfills)
		}
		if len(list.Backfills) == 0 {
			fmt.Fprintln(env.stdout, "No backfill was ever asked for.")
			return nil
		}
		table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tRULE\tPORTAL\tSTATE\tENTRIES\tROUTED\tENDED\t"+inZone("STARTED"))
		for _, s := range list.Backfills {
			ended, all := s.Ended()
			fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%d\t%d\t%d/%d\t%s\n", s.ID, s.Rule, s.Portal, s.State, s.Tally.Entries, s.Tally.Routed.Entries,
				ended, all, s.CreatedAt.Local().Format(time.DateTime))
		}
		return table.Flush()
	}
	return cmd
}

func newBackfillShow(env environment) *cobra.Command {
	var gateway adminFlags
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Tells how far a backfill is",
	}
	gateway.add(cmd)
	withVariables(cmd)
	output := addOutput(cmd)
	follow := cmd.Flags().Bool("follow", false, "wait for its end")
	return aboutBackfill(cmd, env, func(ctx context.Context, id int64) error {
		var s backfill.Status
		if err := gateway.get(ctx, fmt.Sprintf("/api/v1/backfills/%d", id), &s); err != nil {
			return backfillFailed("show backfill", err)
		}
		if !*follow {
			return printBackfill(env.stdout, output.value, s)
		}
		ctx, stop := untilInterrupted(ctx)
		defer stop()
		return followBackfill(ctx, env, gateway, s, output.value)
	})
}

func newBackfillCancel(env environment) *cobra.Command {
	var gateway adminFlags
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Ends a backfill, with the transfers of it that are not sent yet",
	}
	gateway.add(cmd)
	withVariables(cmd)
	author := addAuthor(cmd)
	output := addOutput(cmd)
	return aboutBackfill(cmd, env, func(ctx context.Context, id int64) error {
		var s backfill.Status
		if err := gateway.call(ctx, apiCall{method: http.MethodPost, path: fmt.Sprintf("/api/v1/backfills/%d/cancel", id), author: author.of(env)}, &s); err != nil {
			return backfillFailed("cancel backfill", err)
		}
		return printBackfill(env.stdout, output.value, s)
	})
}

// aboutBackfill completes a command whose one argument is the id of a backfill.
func aboutBackfill(cmd *cobra.Command, env environment, do func(ctx context.Context, id int64) error) *cobra.Command {
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return errors.New(`name one backfill by its id, as "backfill list" shows it`)
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := fromEnvironment(cmd, env); err != nil {
			return err
		}
		id, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil || id < 1 {
			return fmt.Errorf(`%q is not the id of a backfill, a number above 0 that "backfill list" shows`, args[0])
		}
		return do(cmd.Context(), id)
	}
	return cmd
}

// isOver reports whether nothing more will happen.
func isOver(s backfill.Status) bool { return s.State != store.BackfillRunning }
