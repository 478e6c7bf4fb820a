package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"docspace-router/internal/pgtest"
	"docspace-router/internal/portalsim"
)

// roundOptions is what all rounds of a run have in common.
type roundOptions struct {
	binary   string
	database func(ctx context.Context, dir string) (url string, err error)
	server   *pgtest.Server // nil where the database is a file
	replicas int
	patience time.Duration // for quiet after the trouble
}

// round is one round while it runs.
type round struct {
	*scenario
	*cast
	*people
	options  roundOptions
	seed     uint64
	dir      string
	log      *journal
	balancer *balancer
	replicas []*replica
	operator operator
	encore   []act // what the operator does once all is done
	key      string
	undo     []func() // removes the faults injected so far
	hangs    bool
	result   result

	mu  sync.Mutex // guards odd
	odd []finding  // what processes did that they should not
}

// note makes an error of a process a finding.
func (w *round) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.odd = append(w.odd, finding{class: wrong, text: err.Error()})
}

// result is what a round adds to the table.
type result struct {
	seed       uint64
	took       time.Duration
	deliveries int
	kills      int
	stops      int
	faults     map[string]int
	steps      map[string]int // what the operator asked for, and what became of it
	writes     int            // calls that start operations
	written    int            // entries in them
	transfers  int
	lateness   time.Duration // of the machine's timers, at worst
	findings   []finding
	err        error // what kept the round from being judged
	report     string
	dir        string
}

// journal is the round's own log.
type journal struct {
	mu    sync.Mutex
	to    io.Writer
	began time.Time
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.to, "%s %7.3f  %s\n", time.Now().UTC().Format("15:04:05.000"), time.Since(j.began).Seconds(), fmt.Sprintf(format, args...))
}

// runRound plays one round in a directory of its own.
func runRound(ctx context.Context, o roundOptions, seed uint64, dir string) result {
	began := time.Now()
	file, err := os.Create(filepath.Join(dir, "round.log"))
	if err != nil {
		return result{seed: seed, dir: dir, err: err}
	}
	defer func() { _ = file.Close() }()
	w := &round{
		options: o, seed: seed, dir: dir, log: &journal{to: file, began: began},
		result: result{seed: seed, dir: dir, faults: map[string]int{}},
	}
	w.log.add("seed %d", seed)
	if err := w.play(ctx); err != nil {
		w.log.add("not judged: %v", err)
		w.result.err = err
		w.result.findings = append(w.result.findings, w.odd...)
	}
	w.result.took = time.Since(began)
	return w.result
}

func (w *round) play(ctx context.Context) (err error) {
	w.scenario = newScenario(w.seed)
	w.cast = newCast(w.scenario, w.seed)
	defer w.portal.Close()
	w.build(w.cast)
	w.people = newPeople(w.scenario, w.cast)
	if w.balancer, err = newBalancer(ctx); err != nil {
		return err
	}
	defer w.balancer.close()
	if err := w.startGateways(ctx); err != nil {
		return err
	}
	defer func() {
		for _, r := range w.replicas {
			r.kill()
		}
	}()
	w.addWebhooks(w.balancer.url, w.hooks)
	w.operator.client = &http.Client{Transport: &http.Transport{}}
	defer w.operator.client.CloseIdleConnections()

	stall := watchTimers(ctx)
	if err := w.disturb(ctx); err != nil {
		return err
	}
	quiet := w.calm(ctx)
	w.result.lateness = stall()
	e, err := w.collect(ctx)
	if err != nil {
		return errors.Join(quiet, err)
	}
	w.result.findings = append(w.odd, compare(e)...)
	w.odd = nil
	if quiet != nil {
		w.result.findings = append(w.result.findings, finding{class: noOutcome, text: quiet.Error()})
	}
	for _, r := range w.replicas {
		if err := r.stop(ctx); err != nil {
			w.note(err)
		}
	}
	w.result.findings = append(w.result.findings, w.odd...)
	if len(w.result.findings) > 0 {
		w.result.report = w.explain(e)
		w.log.add("%s", w.result.report)
	}
	return nil
}

// write puts a file beside the database in one step, as an editor does.
func (w *round) write(name, text string) {
	path := filepath.Join(w.dir, name)
	err := os.WriteFile(path+".new", []byte(text), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		w.log.add("%s not written: %v", name, err)
	}
}

func (w *round) startGateways(ctx context.Context) error {
	w.key = w.newKey()
	w.write(keyFile, w.key+"\n")
	w.write(secretFile, webhookSecret+"\n")
	w.write("rules.yaml", rulesText(w.url, w.rules))
	database, err := w.options.database(ctx, w.dir)
	if err != nil {
		return err
	}
	for i := range w.options.replicas {
		r := &replica{
			name: fmt.Sprintf("gateway-%d", i+1), binary: w.options.binary, dir: w.dir, balancer: w.balancer,
			args: []string{
				"serve", "--rules", filepath.Join(w.dir, "rules.yaml"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
				"--database", database, "--log-format", "json", "--log-level", "debug", "--pace", pace,
			},
		}
		w.replicas = append(w.replicas, r)
	}
	var group errgroup.Group
	for _, r := range w.replicas {
		group.Go(func() error { return r.start(ctx) })
	}
	return group.Wait()
}

func (w *round) count(fault string) { w.result.faults[fault]++ }

// kill ends a replica and starts it again after a while: mostly as a crash, sometimes politely.
func (w *round) kill(at, away time.Duration) []event {
	r := w.rng.IntN(w.options.replicas)
	if chance(w.rng, 20) && !w.hangs {
		return []event{
			{at: at, what: "stop", do: func() {
				w.result.stops++
				if err := w.replicas[r].stop(context.Background()); err != nil {
					w.note(err)
				}
			}},
			{at: at + away, what: "start", do: func() { w.revive(r) }, aside: true},
		}
	}
	return []event{
		{at: at, what: "kill", do: func() {
			if w.replicas[r].kill() {
				w.result.kills++
			}
		}},
		{at: at + away, what: "start", do: func() { w.revive(r) }, aside: true},
	}
}

// revive starts a replica that is down. One that went down by itself is a finding.
func (w *round) revive(i int) {
	r := w.replicas[i]
	r.reviving.Lock()
	defer r.reviving.Unlock()
	p, err := r.life()
	if p != nil {
		return
	}
	if err != nil {
		w.note(err)
		r.take()
	}
	if err := r.start(context.Background()); err != nil {
		w.note(err)
	}
}

// disturb lets people work and things go wrong at the same time.
func (w *round) disturb(ctx context.Context) error {
	began := time.Now()
	var group errgroup.Group
	for _, line := range [][]event{w.timeline(), w.trouble(), w.steering()} {
		group.Go(func() error {
			for _, ev := range line {
				if err := pause(ctx, time.Until(began.Add(ev.at))); err != nil {
					return err
				}
				w.log.add("%s", ev.what)
				if ev.aside {
					group.Go(func() error { ev.do(); return nil })
					continue
				}
				ev.do()
			}
			return nil
		})
	}
	return group.Wait()
}

// calm removes the trouble and waits until nothing is left to do anywhere.
func (w *round) calm(ctx context.Context) error {
	for _, undo := range w.undo {
		undo()
	}
	for i := range w.replicas {
		if w.hangs {
			w.replicas[i].kill()
		}
		w.revive(i)
	}
	w.log.add("faults removed")
	ctx, cancel := context.WithTimeout(ctx, w.options.patience)
	defer cancel()
	if err := w.endShift(ctx); err != nil {
		return err
	}
	if err := w.rest(ctx); err != nil {
		return err
	}
	for _, a := range w.encore {
		w.log.add("once more: %s", a.what)
		w.perform(ctx, a)
	}
	return w.rest(ctx)
}

// rest waits until nothing is left to do anywhere.
func (w *round) rest(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var last string
	for still := 0; still < 2; {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("not quiet within %s: %s", w.options.patience, last)
		}
		rows := len(w.portal.DeliveryLog())
		if last = w.unrest(ctx, client); last == "" && rows == len(w.portal.DeliveryLog()) {
			still++
		} else {
			still = 0
		}
	}
	return nil
}

// unrest says what still goes on, or "".
func (w *round) unrest(ctx context.Context, client *http.Client) string {
	deliveries, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := w.portal.WaitDelivered(deliveries); err != nil {
		return err.Error()
	}
	for _, op := range w.portal.Operations() {
		if op.Ended.IsZero() {
			return "the portal works on operation " + op.ID
		}
	}
	for _, r := range w.replicas {
		p, err := r.life()
		if err != nil {
			return err.Error()
		}
		s, err := adminAPI{client, p.admin}.status(ctx)
		if err != nil {
			return err.Error()
		}
		if !s.quiet() {
			return fmt.Sprintf("events %v, transfers %v", s.Events, s.Transfers)
		}
	}
	return ""
}

// collect gathers what the round left on the portal and in the gateway.
func (w *round) collect(ctx context.Context) (evidence, error) {
	e := evidence{
		entries: w.entries, seeds: w.seeds,
		shelves: map[portalsim.ID][]portalsim.Entry{}, trees: map[portalsim.ID][]portalsim.Entry{},
	}
	if w.doomed != nil {
		e.doomed = w.doomed.id
	}
	e.calm = len(w.result.faults) == 0 && w.result.kills+w.result.stops == 0
	log := w.portal.DeliveryLog()
	for _, row := range log {
		w.result.deliveries += len(row.Sends)
		if d, _, ok := readDelivery(row); ok {
			e.deliveries = append(e.deliveries, d)
		}
	}
	e.wants = wanted(w.rules, happenings(log, w.entries, w.robot))
	for _, t := range w.targets {
		e.shelves[t.id] = w.portal.List(t.id)
		for _, f := range e.shelves[t.id] {
			if f.Kind == portalsim.KindFolder {
				e.trees[f.ID] = w.portal.Tree(f.ID)
			}
		}
	}
	batches := w.portal.Calls().Batches
	w.result.writes = len(batches)
	for _, n := range batches {
		w.result.written += n
	}
	p, err := w.replicas[0].life()
	if p == nil {
		return e, errors.Join(errors.New("no gateway to ask"), err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	api := adminAPI{client, p.admin}
	if e.events, err = pages[routed](ctx, api, "events"); err != nil {
		return e, err
	}
	if e.transfers, err = pages[transfer](ctx, api, "transfers"); err != nil {
		return e, err
	}
	w.result.transfers = len(e.transfers)
	e.requests = w.operator.requests
	if e.histories, err = histories(ctx, api, e.transfers); err != nil {
		return e, err
	}
	w.result.steps = e.steps()
	held, err := heldStill(ctx, api)
	w.odd = append(w.odd, held...)
	return e, err
}

// explain writes the findings with the transfers and operations they concern.
func (w *round) explain(e evidence) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d findings, timers up to %s late\n", w.seed, len(w.result.findings), w.result.lateness.Round(time.Millisecond))
	concerned := map[portalsim.ID]bool{}
	for _, f := range w.result.findings {
		fmt.Fprintf(&b, "  %s\n", f)
		if f.entry != nil {
			concerned[f.entry.id] = true
		}
	}
	for _, t := range e.transfers {
		if concerned[t.EntryID] || !t.ended() {
			fmt.Fprintf(&b, "  transfer %d: event %d, rule %s, %s/%s of %s %s %q to %s: %s after %d attempts, operation %d, result %s %q; %s\n",
				t.ID, t.Event, t.Rule, t.Action, t.Conflict, t.Kind, t.EntryID, t.Title, t.Destination, t.State, t.Attempts,
				t.Operation, t.ResultID, t.ResultTitle, t.Reason)
			for _, s := range e.histories[t.ID] {
				fmt.Fprintf(&b, "    %s: %s\n", s.Outcome, s.Reason)
			}
		}
	}
	for _, op := range w.portal.Operations() {
		about := false
		for _, id := range append(append([]portalsim.ID{}, op.Files...), op.Folders...) {
			about = about || concerned[id]
		}
		if about {
			fmt.Fprintf(&b, "  portal operation %s: move %t, files %v, folders %v to %s, conflict %d: results %v, error %q, finished %t, cancelled %t, seen %t, %s to %s\n",
				op.ID, op.Move, op.Files, op.Folders, op.Destination, op.Conflict, op.Results, op.Error, op.Finished, op.Cancelled, op.Seen,
				op.Queued.Format(time.TimeOnly), op.Ended.Format(time.TimeOnly))
		}
	}
	return b.String()
}

// watchTimers measures how late timers fire: on a machine that is too busy the proportions of
// the waiting times no longer hold, and what looks like a finding may be none.
func watchTimers(ctx context.Context) (worst func() time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan time.Duration)
	go func() {
		const every = 20 * time.Millisecond
		var most time.Duration
		for {
			before := time.Now()
			if pause(ctx, every) != nil {
				done <- most
				return
			}
			most = max(most, time.Since(before)-every)
		}
	}()
	return sync.OnceValue(func() time.Duration { cancel(); return <-done })
}
