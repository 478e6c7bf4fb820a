package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// table sums up the rounds of a run.
type table struct {
	again string // what make must be told besides the seed to play a round again

	mu     sync.Mutex // guards all below, and the order of what is printed
	rounds []result
}

// failed reports whether the round is one to look into.
func (r result) failed() bool { return r.err != nil || len(r.findings) > 0 }

// add notes a round and tells of it in a line, or more when it failed.
func (t *table) add(r result, out io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rounds = append(t.rounds, r)
	verdict := "ok"
	if r.failed() {
		verdict = "FAILED"
	}
	faults := 0
	for _, n := range r.faults {
		faults += n
	}
	fmt.Fprintf(out, "seed %d: %s in %.1f s: %d deliveries, %d transfers in %d writes, %d kills, %d stops, %d faults; the operator asked %d times, %d unanswered: %d pauses, %d replays, %d cancelled, %d queued again\n",
		r.seed, verdict, r.took.Seconds(), r.deliveries, r.transfers, r.writes, r.kills, r.stops, faults,
		r.steps[asked], r.steps[unanswered], r.steps[string(pausing)], r.steps[string(replaying)], r.steps[cancelledByThem], r.steps[queuedByThem])
	if r.err != nil {
		fmt.Fprintf(out, "  not judged: %v\n", r.err)
	}
	if r.report != "" {
		fmt.Fprint(out, r.report)
	}
	if r.failed() {
		fmt.Fprintf(out, "  files: %s\n  again: make chaos ROUNDS=1 SEED=%d%s\n", r.dir, r.seed, t.again)
	}
}

func (t *table) failed() bool {
	return slices.ContainsFunc(t.rounds, result.failed)
}

// print prints the sums.
func (t *table) print(out io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var sum result
	sum.faults, sum.steps = map[string]int{}, map[string]int{}
	classes := map[class]int{}
	notJudged, failed := 0, 0
	var longest, latest time.Duration
	for _, r := range t.rounds {
		sum.took += r.took
		longest, latest = max(longest, r.took), max(latest, r.lateness)
		sum.deliveries += r.deliveries
		sum.transfers += r.transfers
		sum.kills += r.kills
		sum.stops += r.stops
		sum.writes += r.writes
		sum.written += r.written
		for name, n := range r.faults {
			sum.faults[name] += n
		}
		for name, n := range r.steps {
			sum.steps[name] += n
		}
		for _, f := range distinct(r.findings) {
			classes[f.class]++
		}
		if r.err != nil {
			notJudged++
		}
		if r.failed() {
			failed++
		}
	}
	row := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%-32s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(out)
	row("rounds", "%d, of which %d failed", len(t.rounds), failed)
	row("deliveries", "%d", sum.deliveries)
	row("transfers", "%d", sum.transfers)
	row("kills", "%d, and %d stops", sum.kills, sum.stops)
	for _, name := range slices.Sorted(maps.Keys(sum.faults)) {
		row("fault: "+name, "%d", sum.faults[name])
	}
	for _, name := range slices.Sorted(maps.Keys(sum.steps)) {
		row("operator: "+name, "%d", sum.steps[name])
	}
	row("lost", "%d", classes[lost])
	row("doubled", "%d", classes[doubled])
	row("without outcome", "%d", classes[noOutcome])
	row("given up with a reason", "%d", classes[gaveUp])
	row("otherwise wrong", "%d", classes[wrong])
	if notJudged > 0 {
		row("rounds not judged", "%d", notJudged)
	}
	if sum.writes > 0 {
		row("files per write call", "%.1f", float64(sum.written)/float64(sum.writes))
	}
	if n := len(t.rounds); n > 0 {
		row("time per round", "%.1f s, at most %.1f s", sum.took.Seconds()/float64(n), longest.Seconds())
	}
	row("timers late by at most", "%s", latest.Round(time.Millisecond))
}

// distinct counts a transfer once however many ways it shows.
func distinct(findings []finding) []finding {
	type key struct {
		class class
		to    any
		entry *entry
	}
	seen := map[key]bool{}
	var out []finding
	for _, f := range findings {
		k := key{f.class, f.to, f.entry}
		if f.entry == nil || !seen[k] {
			out = append(out, f)
		}
		seen[k] = true
	}
	return out
}
