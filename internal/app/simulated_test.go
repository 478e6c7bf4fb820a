package app_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"docspace-router/internal/dispatch"
	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
	"docspace-router/internal/store"
)

// desk is a simulated portal and the dispatching half of a gateway in simulated time: with the
// waiting times that both have in earnest, hours pass in moments. Transfers are stored as
// routing stores them; lane jobs run as the job queue runs them.
type desk struct {
	t          *testing.T
	portal     *portalsim.Portal
	store      *store.Store
	path       string
	logs       *logBuffer
	dispatcher *dispatch.Dispatcher
	budget     store.Budget
	conflict   event.Conflict
	action     event.Action

	owner, robot, client portalsim.UserID
	room, dest           portalsim.ID

	ctx    context.Context
	stop   func()
	events int

	mu   sync.Mutex // guards busy
	busy map[string]bool
	jobs sync.WaitGroup
}

// deskOptions change what a desk is made of.
type deskOptions struct {
	portal   portalsim.Options
	dispatch dispatch.Options
}

// simulate runs a test at a desk. Nothing is sent before start.
func simulate(t *testing.T, o deskOptions, test func(d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{
			t: t, portal: portalsim.New(o.portal), path: filepath.Join(t.TempDir(), "router.db"), logs: &logBuffer{},
			conflict: event.Duplicate, action: event.Copy, busy: map[string]bool{},
		}
		defer d.portal.Close()
		d.owner = d.portal.AddUser(portalsim.User{DisplayName: "Owner", Owner: true, Admin: true})
		d.robot = d.portal.AddUser(portalsim.User{DisplayName: "Robot", RoomAdmin: true})
		d.client = d.portal.AddUser(portalsim.User{DisplayName: "Client", Guest: true})
		d.room, d.dest = d.addRoom("Shared with client"), d.addRoom("Internal")

		logger := slog.New(slog.NewTextHandler(d.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
		key := d.portal.AddKey(d.robot)
		client, err := docspace.New(docspace.Options{
			Portal: "default", URL: d.portal.URL(), APIKey: func() string { return key }, Transport: d.portal.Transport(),
		})
		d.must(err)
		d.store, err = store.Open(t.Context(), store.Options{URL: "sqlite://" + d.path})
		d.must(err)
		defer func() { d.must(d.store.Close()) }()

		o.dispatch.Store, o.dispatch.Logger = d.store, logger
		o.dispatch.Portal = func(string) (dispatch.Portal, bool) { return client, true }
		o.dispatch.Budget = func(string) store.Budget { return d.budget }
		o.dispatch.CompleteJob = d.complete
		o.dispatch.Wake = d.wake
		d.dispatcher, err = dispatch.New(o.dispatch)
		d.must(err)

		d.ctx, d.stop = context.WithCancel(t.Context())
		defer func() {
			d.stop()
			d.jobs.Wait()
			if t.Failed() {
				t.Logf("log of the gateway:\n%s", d.logs)
			}
		}()
		test(d)
	})
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) addRoom(title string) portalsim.ID {
	return d.portal.AddRoom(portalsim.Room{Title: title, Owner: d.owner, Members: map[portalsim.UserID]portalsim.Access{
		d.robot: portalsim.RoomManager, d.client: portalsim.ContentCreator,
	}})
}

// start lets the dispatcher work on what is queued and what will be.
func (d *desk) start() {
	d.jobs.Go(func() { _ = d.dispatcher.Run(d.ctx) })
}

// wake runs a job for each lane that has none.
func (d *desk) wake(_ context.Context, lanes []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, lane := range lanes {
		if !d.busy[lane] && d.ctx.Err() == nil {
			d.busy[lane] = true
			d.jobs.Go(func() { d.work(lane) })
		}
	}
	return nil
}

// complete ends a lane's job.
func (d *desk) complete(_ context.Context, _ *sql.Tx, job *river.Job[dispatch.JobArgs]) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.busy, job.Args.Lane)
	return nil
}

// work runs a lane's job until it completes, with the pauses it asks for.
func (d *desk) work(lane string) {
	job := &river.Job[dispatch.JobArgs]{JobRow: &rivertype.JobRow{Kind: dispatch.JobArgs{}.Kind()}, Args: dispatch.JobArgs{Lane: lane}}
	for {
		err := d.dispatcher.Work(d.ctx, job)
		var snooze *river.JobSnoozeError
		switch {
		case err == nil || d.ctx.Err() != nil:
			return
		case !errors.As(err, &snooze):
			d.t.Errorf("job of lane %s: %v", lane, err)
			return
		case !d.wait(snooze.Duration):
			return
		}
	}
}

// wait lets simulated time pass, and reports false when the desk closes meanwhile.
func (d *desk) wait(t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.ctx.Done():
		return false
	}
}

// now is the time as deliveries show it.
func (d *desk) now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// upload puts a file into the client's room and stores its transfer to the destination.
func (d *desk) upload(title string, size int64) portalsim.ID {
	d.t.Helper()
	id := d.portal.Upload(d.room, title, size, d.client)
	d.transfer(event.File, id, title, d.now())
	return id
}

// uploads puts n files into the client's room and returns their titles.
func (d *desk) uploads(n int) []string {
	d.t.Helper()
	titles := make([]string, n)
	planned := make([]planned, n)
	for i := range titles {
		titles[i] = fmt.Sprintf("File %04d.pdf", i)
		planned[i] = d.plan(event.File, d.portal.Upload(d.room, titles[i], 100, d.client), titles[i], d.now())
	}
	d.save(planned...)
	return titles
}

// transfer stores a transfer of an entry to the destination.
func (d *desk) transfer(kind event.Kind, id portalsim.ID, title string, happened time.Time) {
	d.t.Helper()
	d.save(d.plan(kind, id, title, happened))
}

type planned struct {
	event    store.NewEvent
	transfer store.NewTransfer
}

func (d *desk) plan(kind event.Kind, id portalsim.ID, title string, happened time.Time) planned {
	d.events++
	entry := event.Entry{Kind: kind, ID: event.ID(id), Title: title, ParentID: event.ID(d.room)}
	trigger := "file.uploaded"
	if kind == event.Folder {
		trigger = "folder.created"
	}
	ev := event.Event{ID: strconv.Itoa(d.events), WebhookID: "1", Trigger: trigger, CreatedOn: happened, Entry: entry}
	return planned{
		store.NewEvent{Portal: "default", Event: ev, ReceivedAt: time.Now(), Body: []byte("{}")},
		store.NewTransfer{
			Portal: "default", Rule: "uploads", Action: d.action, Conflict: d.conflict, Entry: entry,
			Destination: event.ID(d.dest), Trigger: trigger, WebhookID: "1", HappenedAt: happened,
		},
	}
}

func (d *desk) save(all ...planned) {
	d.t.Helper()

	d.must(d.store.InTx(d.t.Context(), func(tx *sql.Tx) error {
		var events []store.NewEvent
		for _, p := range all {
			events = append(events, p.event)
		}
		ids, err := d.store.InsertEvents(d.t.Context(), tx, events)
		if err != nil {
			return err
		}
		var decisions []store.Decision
		for i, p := range all {
			decisions = append(decisions, store.Decision{EventID: ids[i], State: event.EventRouted, Transfers: []store.NewTransfer{p.transfer}})
		}
		_, err = d.store.SaveDecisions(d.t.Context(), tx, decisions)
		return err
	}))
}

// rest waits until every transfer has ended, at most for this much simulated time.
func (d *desk) rest(within time.Duration) {
	d.t.Helper()
	for end := time.Now().Add(within); d.open() > 0; {
		if time.Now().After(end) {
			d.t.Fatalf("%d transfers have not ended within %s: %v", d.open(), within, d.states())
		}
		d.wait(5 * time.Second)
	}
}

// open is how many transfers have not ended.
func (d *desk) open() (n int) {
	d.t.Helper()
	for state, count := range d.states() {
		if !state.Ended() {
			n += count
		}
	}
	return n
}

func (d *desk) states() map[event.State]int {
	d.t.Helper()
	counts, err := d.store.Counts(context.WithoutCancel(d.ctx))
	d.must(err)
	states := map[event.State]int{}
	for state, n := range counts.Transfers {
		if n > 0 {
			states[event.State(state)] = int(n)
		}
	}
	return states
}

// transfers are all transfers, newest first.
func (d *desk) transfers() []store.Transfer {
	d.t.Helper()
	all, _, err := d.store.Transfers(context.WithoutCancel(d.ctx), store.Filter{Limit: 100_000})
	d.must(err)
	return all
}

// only is the one transfer there is.
func (d *desk) only() store.Transfer {
	d.t.Helper()
	all := d.transfers()
	if len(all) != 1 {
		d.t.Fatalf("%d transfers, want one", len(all))
	}
	return all[0]
}

// wantTitles compares what lies in the destination.
func (d *desk) wantTitles(want ...string) {
	d.t.Helper()
	var got []string
	for _, e := range d.portal.List(d.dest) {
		got = append(got, e.Title)
	}
	slices.Sort(got)
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		d.t.Errorf("the destination holds %s, want %s", brief(got), brief(want))
	}
}

// brief shows a long list's beginning.
func brief(list []string) string {
	if len(list) > 20 {
		return fmt.Sprintf("%d entries %q…", len(list), list[:20])
	}
	return fmt.Sprintf("%q", list)
}

// wantStates compares how many transfers are in which state.
func (d *desk) wantStates(want map[event.State]int) {
	d.t.Helper()
	if got := d.states(); !maps.Equal(got, want) {
		d.t.Errorf("transfers by state: %v, want %v", got, want)
	}
}

// wantCalls compares how many writes the portal was asked for.
func (d *desk) wantCalls(want int) {
	d.t.Helper()
	if got := d.portal.Calls().Transfers(); got != want {
		d.t.Errorf("%d calls to copy or move, want %d: batches of %v", got, want, d.portal.Calls().Batches)
	}
}
