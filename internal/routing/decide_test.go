package routing

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

// routed is an office with a router that is asked directly.
type routed struct {
	*office
	router *Router
	portal Portal
}

func newRouted(t *testing.T, o portalsim.Options) *routed {
	t.Helper()
	w := newOffice(t, o)
	_, portal := w.gateway(time.Minute)
	nothing := func(context.Context) error { return nil }
	router, err := New(Options{
		Store: w.store, Snapshot: func() Snapshot { return Snapshot{} },
		CompleteJob: func(context.Context, *sql.Tx, *river.Job[JobArgs]) error { return nil },
		Wake:        func(context.Context, []string) error { return nil },
		Sweep:       nothing, Budget: func(string) store.Budget { return w.budget },
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &routed{w, router, portal}
}

// decide lets rules decide on an upload into a folder that was received some time ago.
func (w *routed) decide(folder portalsim.ID, age time.Duration, specs ...rules.Spec) store.Decision {
	w.t.Helper()
	for i := range specs {
		specs[i].Portals, specs[i].Triggers = []string{"acme"}, []string{"file.uploaded"}
		specs[i].Action, specs[i].Conflict = event.Copy, event.Duplicate
	}
	table, errs := rules.Compile(specs)
	if len(errs) > 0 {
		w.t.Fatal(errs)
	}
	file := w.office.portal.AddFile(folder, portalsim.File{Title: "a.pdf", Size: 7, By: w.owner})
	return w.router.decide(w.t.Context(), Snapshot{
		Rules: table, Portal: func(string) (Portal, bool) { return w.portal, true },
	}, store.PendingEvent{
		ID: 1, Portal: "acme", ReceivedAt: time.Now().Add(-age), HappenedAt: time.Now().Add(-age),
		Body: fmt.Appendf(nil, `{"event":{"id":1,"trigger":"file.uploaded"},"payload":{"id":%s,"parentId":%s,"title":"a.pdf","fileEntryType":2}}`, file, folder),
	})
}

func (w *routed) want(d store.Decision, state event.EventState, reason string) {
	w.t.Helper()
	if d.State != state || !strings.Contains(d.Reason, reason) || len(d.Transfers) > 0 {
		w.t.Errorf("decided %+v, want %s without transfers because of %q", d, state, reason)
	}
}

// TestRoomsOfOthersAreLeftAloneAfterADay is about uploads that the gateway's account may not see.
func TestRoomsOfOthersAreLeftAloneAfterADay(t *testing.T) {
	t.Parallel()
	w := newRouted(t, portalsim.Options{})
	private := w.office.portal.AddRoom(portalsim.Room{Title: "Private", Owner: w.owner})
	elsewhere := rules.Spec{Name: "elsewhere", Routes: []rules.Route{{Source: event.ID(w.room), Subfolders: true, Destination: "7"}}}
	named := rules.Spec{Name: "named", Routes: []rules.Route{{Source: event.ID(private), Destination: "7"}}}
	reason := fmt.Sprintf("may not read folder %s", private)

	w.want(w.decide(private, time.Hour, elsewhere), event.EventPending, reason)
	w.want(w.decide(private, 25*time.Hour, elsewhere), event.EventIgnored, reason)
	w.want(w.decide(private, 25*time.Hour, elsewhere, named), event.EventFailed, reason)
	if n := w.office.portal.Calls().Count("GET", "files/folder/{id}/path"); n != 1 {
		t.Errorf("the place was asked for %d times, want once", n)
	}
}

// TestARefusedFolderIsGivenUpAfterADay is about a path that the portal will never accept.
func TestARefusedFolderIsGivenUpAfterADay(t *testing.T) {
	t.Parallel()
	for status, then := range map[int]event.EventState{
		http.StatusForbidden:            event.EventFailed,
		http.StatusBadRequest:           event.EventFailed,
		http.StatusUnsupportedMediaType: event.EventFailed,
		http.StatusUnauthorized:         event.EventPending,
		http.StatusTooManyRequests:      event.EventPending,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			w := newRouted(t, portalsim.Options{})
			w.office.portal.Inject(portalsim.Fault{
				Kind: portalsim.Refuse, Status: status, Message: "no such title", Method: "POST", Path: "files/folder/{id}",
			})
			filed := rules.Spec{Name: "filed", Path: `"2026"`, Routes: []rules.Route{{Source: event.ID(w.room), Destination: event.ID(w.room)}}}
			w.want(w.decide(w.room, time.Hour, filed), event.EventPending, "rule filed")
			w.want(w.decide(w.room, 25*time.Hour, filed), then, "rule filed")
		})
	}
}
