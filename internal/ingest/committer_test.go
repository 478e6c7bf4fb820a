package ingest

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// waitFor lets the others run until a condition holds; the test's deadline ends a wait in vain.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for !holds() {
		if t.Context().Err() != nil {
			t.Fatalf("waited in vain: %s", what)
		}
		runtime.Gosched()
	}
}

// queued waits until n deliveries wait for the next group commit.
func (e *endpoint) queued(n int) {
	e.t.Helper()
	waitFor(e.t, fmt.Sprintf("%d deliveries queued", n), func() bool { return len(e.handler.committer.waiting) == n })
}

func TestAnswersComeAfterTheirCommitAndShareIt(t *testing.T) {
	t.Parallel()
	e := serve(t)
	release := e.store.hold()
	defer release()

	first := e.sendAll(e.signed(upload("1")))
	<-e.store.held // everything is done but the commit
	const more = 40
	var requests []*http.Request
	for i := range more {
		requests = append(requests, e.signed(upload(fmt.Sprint(i+2))))
	}
	rest := e.sendAll(requests...)
	e.queued(more)
	if len(first)+len(rest) > 0 {
		t.Error("an answer came before its commit")
	}
	if got := e.events(); len(got) > 0 {
		t.Errorf("%v can be read before the commit", got)
	}

	release()
	for i := range more + 1 {
		answers := rest
		if i == 0 {
			answers = first
		}
		if got, want := <-answers, (answered{http.StatusOK, reply{Status: "ok"}}); got != want {
			t.Errorf("answer %+v, want %+v", got, want)
		}
	}
	if n := len(e.events()); n != more+1 {
		t.Errorf("%d events are stored, want %d", n, more+1)
	}
	if n := e.store.transactions.Load(); n != 2 {
		t.Errorf("%d deliveries took %d transactions, want 2", more+1, n)
	}
	var sizes []int
	for _, g := range e.groups() {
		sizes = append(sizes, len(g))
	}
	if want := []int{1, more}; !slices.Equal(sizes, want) {
		t.Errorf("route jobs of %v events, want %v", sizes, want)
	}
}

func TestADuplicateInsideAGroup(t *testing.T) {
	t.Parallel()
	e := serve(t)
	release := e.store.hold()
	defer release()
	first := e.sendAll(e.signed(upload("1")))
	<-e.store.held
	rest := e.sendAll(e.signed(upload("2")), e.signed(upload("2")), e.signed(upload("1")), e.signed(upload("3")))
	e.queued(4)
	release()

	duplicates := 0
	for range 4 {
		a := <-rest
		if a.Code != http.StatusOK {
			t.Errorf("answer %+v", a)
		}
		if a.Body.Duplicate {
			duplicates++
		}
	}
	if a := <-first; a.Body.Duplicate || duplicates != 2 {
		t.Errorf("%d duplicates, and the first is answered %+v", duplicates, a)
	}
	stored := e.events()
	slices.Sort(stored)
	if want := []string{"1", "2", "3"}; !slices.Equal(stored, want) {
		t.Errorf("stored are %v, want %v", stored, want)
	}
	if diff := cmp.Diff([]int{1, 2}, []int{len(e.groups()[0]), len(e.groups()[1])}); diff != "" {
		t.Errorf("events of route jobs (-want +got):\n%s", diff)
	}
}

func TestPortalsShareACommitAndNoJob(t *testing.T) {
	t.Parallel()
	e := serve(t)
	release := e.store.hold()
	defer release()
	first := e.sendAll(e.signed(upload("1")))
	<-e.store.held
	rest := e.sendAll(
		e.signed(upload("2")), e.signed(upload("3")),
		e.request(http.MethodPost, "/webhook/open", upload("2")), e.request(http.MethodPost, "/webhook/open", upload("2")),
	)
	e.queued(4)
	release()
	duplicates := 0
	for _, a := range []answered{<-first, <-rest, <-rest, <-rest, <-rest} {
		if a.Code != http.StatusOK {
			t.Errorf("answer %+v", a)
		}
		if a.Body.Duplicate {
			duplicates++
		}
	}
	if n := e.store.transactions.Load(); n != 2 || duplicates != 1 {
		t.Errorf("%d transactions and %d duplicates, want 2 and 1", n, duplicates)
	}
	jobs := map[string]int{}
	for i, g := range e.groups() {
		jobs[fmt.Sprintf("%s: %d events", e.enqueued.of[i], len(g))]++
	}
	want := map[string]int{"acme: 1 events": 1, "acme: 2 events": 1, "open: 1 events": 1}
	if diff := cmp.Diff(want, jobs); diff != "" {
		t.Errorf("route jobs (-want +got):\n%s", diff)
	}
}

func TestAGroupOfDuplicatesNeedsNoJob(t *testing.T) {
	t.Parallel()
	e := serve(t)
	e.send(e.signed(upload("1")))
	if got := e.send(e.signed(upload("1"))); !got.Body.Duplicate {
		t.Errorf("answer %+v", got)
	}
	if n := len(e.groups()); n != 1 {
		t.Errorf("%d route jobs", n)
	}
}

func TestWhatCannotBeStoredIsSentAgain(t *testing.T) {
	t.Parallel()
	unavailable := answered{http.StatusServiceUnavailable, reply{Status: "refused", Error: "the delivery could not be stored; send it again"}}
	tests := []struct {
		name           string
		breakIt, fixIt func(e *endpoint)
	}{
		{"the commit fails", func(e *endpoint) { e.store.failing.Store(true) }, func(e *endpoint) { e.store.failing.Store(false) }},
		{"the job cannot be inserted", func(e *endpoint) { e.setEnqueue(errEnqueue) }, func(e *endpoint) { e.setEnqueue(nil) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := serve(t)
			tt.breakIt(e)
			for range 3 {
				if got := e.send(e.signed(upload("1"))); got != unavailable {
					t.Errorf("answer %+v, want %+v", got, unavailable)
				}
			}
			if got := e.events(); len(got) > 0 {
				t.Errorf("%v is stored all the same", got)
			}
			tt.fixIt(e)
			// The retry is no duplicate: nothing was left behind.
			if got := e.send(e.signed(upload("1"))); got.Code != http.StatusOK || got.Body.Duplicate {
				t.Errorf("afterwards the answer is %+v", got)
			}
			if got := e.events(); !slices.Equal(got, []string{"1"}) {
				t.Errorf("stored are %v", got)
			}
		})
	}
}

func (e *endpoint) setEnqueue(err error) {
	e.enqueued.Lock()
	defer e.enqueued.Unlock()
	e.enqueued.err = err
}

func TestADeliveryIsStoredWhenItsSenderHasGone(t *testing.T) {
	t.Parallel()
	e := serve(t)
	release := e.store.hold()
	defer release()
	ctx, leave := context.WithCancel(t.Context())
	answers := e.sendAll(e.signed(upload("1")).WithContext(ctx))
	<-e.store.held
	leave()
	if a := <-answers; a.Code != 0 {
		t.Fatalf("answer %+v", a)
	}
	release()
	waitFor(t, "the delivery is counted", func() bool {
		return e.counters()["webhook_requests_total{code=200,portal=acme}"] == 1
	})
	if got := e.events(); !slices.Equal(got, []string{"1"}) {
		t.Errorf("stored are %v", got)
	}
	if got := e.counters()["events_total{portal=acme,trigger=file.uploaded}"]; got != 1 {
		t.Errorf("%v events are counted", got)
	}
}

func TestAGroupIsNeverLargerThanItsLimit(t *testing.T) {
	t.Parallel()
	e := serve(t)
	e.handler.committer.maxGroup = 8 // before anything arrives
	release := e.store.hold()
	defer release()
	first := e.sendAll(e.signed(upload("1")))
	<-e.store.held
	var requests []*http.Request
	for i := range 20 {
		requests = append(requests, e.signed(upload(fmt.Sprint(i+2))))
	}
	rest := e.sendAll(requests...)
	e.queued(20)
	release()
	<-first
	for range 20 {
		<-rest
	}
	var sizes []int
	for _, g := range e.groups() {
		sizes = append(sizes, len(g))
	}
	if want := []int{1, 8, 8, 4}; !slices.Equal(sizes, want) {
		t.Errorf("groups of %v, want %v", sizes, want)
	}
}

func TestRunStoresWhatWaitsBeforeItEnds(t *testing.T) {
	t.Parallel()
	e := serve(t)
	release := e.store.hold()
	defer release()
	first := e.sendAll(e.signed(upload("1")))
	<-e.store.held
	rest := e.sendAll(e.signed(upload("2")), e.signed(upload("3")))
	e.queued(2)

	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		e.stop()
	}()
	release()
	<-stopped
	for _, a := range []answered{<-first, <-rest, <-rest} {
		if a.Code != http.StatusOK {
			t.Errorf("answer %+v", a)
		}
	}
	if n := len(e.events()); n != 3 {
		t.Errorf("%d events are stored, want 3", n)
	}
	// What comes later is told to come again instead of being kept waiting.
	if got := e.send(e.signed(upload("4"))); got.Code != http.StatusServiceUnavailable {
		t.Errorf("after the end the answer is %+v", got)
	}
}
