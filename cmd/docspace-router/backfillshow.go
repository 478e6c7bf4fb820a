package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"docspace-router/internal/admin"
	"docspace-router/internal/backfill"
	"docspace-router/internal/event"
)

// untilInterrupted ends with the first Ctrl-C. A second one ends the program at once.
func untilInterrupted(ctx context.Context) (context.Context, func()) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// followBackfill tells how a backfill goes on, until it ends or Ctrl-C ends the telling.
func followBackfill(ctx context.Context, env environment, gateway adminFlags, s backfill.Status, output string) error {
	tell, done := progress(env.stderr)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for !isOver(s) {
		tell(s)
		select {
		case <-ctx.Done():
			done()
			fmt.Fprintf(env.stderr, "Backfill %d goes on without this command. To see it again: backfill show %[1]d --follow. To end it: backfill cancel %[1]d\n", s.ID)
			return nil
		case <-tick.C:
		}
		next := backfill.Status{}
		switch err := gateway.get(ctx, fmt.Sprintf("/api/v1/backfills/%d", s.ID), &next); {
		case err == nil:
			s = next
		case ctx.Err() != nil:
		case errors.Is(err, errRefused):
			done()
			return backfillFailed("follow the backfill", err)
		default:
			s.Note = "the gateway does not answer; when it is back, the backfill goes on" // it may be restarting
		}
	}
	tell(s)
	done()
	if err := printBackfill(env.stdout, output, s); err != nil {
		return err
	}
	if s.Transfers[event.Failed]+s.Tally.Failed > 0 {
		return found()
	}
	return nil
}

// progress shows how far a backfill is: as a bar on a terminal, else as a line now and then.
func progress(w io.Writer) (tell func(backfill.Status), done func()) {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		said := ""
		return func(s backfill.Status) {
			if line := progressLine(s); line != said {
				fmt.Fprintln(w, line)
				said = line
			}
		}, func() {}
	}
	bar := progressbar.NewOptions(-1, progressbar.OptionSetWriter(w), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetWidth(30), progressbar.OptionSetElapsedTime(false), progressbar.OptionSetRenderBlankState(true))
	return func(s backfill.Status) {
		ended, all := s.Ended()
		what := fmt.Sprintf("%d of %d folders read, transfers", s.Tally.FoldersWalked, s.Tally.FoldersFound)
		if s.Note != "" {
			what = "waits, " + what
		}
		bar.Describe(what)
		if most := max(all, s.Tally.Routed.Entries); most > 0 {
			bar.ChangeMax(most + 1) // never full before the end
		}
		_ = bar.Set(ended) // it only says that the terminal is gone
	}, func() { _ = bar.Exit(); fmt.Fprintln(w) }
}

func progressLine(s backfill.Status) string {
	ended, all := s.Ended()
	line := fmt.Sprintf("%d of %d folders read, %d of %d transfers ended", s.Tally.FoldersWalked, s.Tally.FoldersFound, ended, all)
	if s.Note != "" {
		line += "; waits: " + s.Note
	}
	return line
}

func printBackfill(w io.Writer, output string, s backfill.Status) error {
	if output == "json" {
		return writeJSON(w, s)
	}
	fmt.Fprintf(w, "Backfill %d of rule %s on portal %s: %s\n", s.ID, s.Rule, s.Portal, s.State)
	if s.Note != "" {
		fmt.Fprintf(w, "It waits: %s\n", s.Note)
	}
	var states []string
	for _, state := range event.States() {
		if n := s.Transfers[state]; n > 0 {
			states = append(states, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(states) > 0 {
		fmt.Fprintf(w, "Transfers: %s\n", strings.Join(states, ", "))
	}
	return printTally(w, s.Tally, nil)
}

// place is where a rehearsed entry goes, for people.
func place(t backfill.Target) string {
	return strings.Join(append([]string{string(t.Destination)}, t.Path...), "/")
}

// printTally tells what was met. byPlace splits the destinations further, where it is known.
func printTally(w io.Writer, t backfill.Tally, byPlace map[string]backfill.Amount) error {
	fmt.Fprintf(w, "%d of %d folders read, %d files and folders looked at\n", t.FoldersWalked, t.FoldersFound, t.Entries)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(n int, size, what string) { fmt.Fprintf(table, "%d\t%s\t\t%s\n", n, size, what) }
	row(t.Routed.Entries, bytesText(t.Routed.Bytes), "routed")
	if byPlace == nil {
		byPlace = map[string]backfill.Amount{}
		for id, a := range t.Destinations {
			byPlace[string(id)] = a
		}
	}
	for _, to := range slices.Sorted(maps.Keys(byPlace)) {
		row(byPlace[to].Entries, bytesText(byPlace[to].Bytes), "  to "+to)
	}
	for _, reason := range slices.Sorted(maps.Keys(t.Skipped)) {
		row(t.Skipped[reason], "", "left out: "+reason)
	}
	if t.Failed > 0 {
		row(t.Failed, "", "failed: see the events in state failed")
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(t.Unreadable)) {
		fmt.Fprintf(w, "folder %s was left out: %s\n", id, t.Unreadable[id])
	}
	return nil
}

func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefixes := float64(n)/unit, "KMGTPE"
	for value >= unit && len(prefixes) > 1 {
		value, prefixes = value/unit, prefixes[1:]
	}
	return fmt.Sprintf("%.1f %cB", value, prefixes[0])
}

// rehearse lists what a backfill would route.
func rehearse(ctx context.Context, env environment, gateway adminFlags, flags backfillFlags, output string) error {
	resp, err := gateway.open(ctx, apiCall{method: http.MethodPost, path: "/api/v1/backfills/rehearse", body: flags.request()})
	if err != nil {
		return backfillFailed("dry run", err)
	}
	defer resp.Close()
	byPlace := map[string]backfill.Amount{}
	lines := bufio.NewReader(resp)
	for {
		raw, err := lines.ReadBytes('\n')
		if err != nil {
			if ctx.Err() != nil {
				return backfillFailed("dry run", errors.New("interrupted; nothing was stored"))
			}
			return backfillFailed("dry run", fmt.Errorf("the answer broke off: %w", err))
		}
		var line admin.RehearsalLine
		if err := json.Unmarshal(raw, &line); err != nil {
			return backfillFailed("dry run", fmt.Errorf("the answer is not the admin API's: %w", err))
		}
		switch {
		case line.Error != "":
			return backfillFailed("dry run", errors.New(line.Error))
		case output == "json":
			if _, err := env.stdout.Write(raw); err != nil {
				return err
			}
		case line.Entry != nil:
			e := line.Entry
			for _, to := range e.To {
				amount := byPlace[place(to)]
				amount.Entries++
				amount.Bytes += e.Bytes
				byPlace[place(to)] = amount
				fmt.Fprintf(env.stdout, "%s %s %s %q (%s) in %s to %s\n", to.Action, e.Kind, e.ID, e.Title, bytesText(e.Bytes), e.In, place(to))
			}
		}
		if line.Tally == nil {
			continue
		}
		if output == "json" {
			return nil
		}
		return printTally(env.stdout, *line.Tally, byPlace)
	}
}
