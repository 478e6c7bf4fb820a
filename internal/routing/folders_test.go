package routing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

// TestMain looks for goroutines that outlive the tests. A search for a folder may go on after the
// event that asked for it has gone, so they get time to end.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		var leak error
		for range 60 { // each look takes up to a second or two
			if leak = goleak.Find(); leak == nil {
				break
			}
		}
		if leak != nil {
			fmt.Fprintln(os.Stderr, leak)
			code = 1
		}
	}
	os.Exit(code)
}

// office is a portal with one room, and a database that several gateways share.
type office struct {
	t      *testing.T
	portal *portalsim.Portal
	room   portalsim.ID
	owner  portalsim.UserID
	key    string
	store  *store.Store
	budget store.Budget
}

func newOffice(t *testing.T, o portalsim.Options) *office {
	t.Helper()
	w := &office{t: t, portal: portalsim.New(o)}
	t.Cleanup(w.portal.Close)
	w.owner = w.portal.AddUser(portalsim.User{DisplayName: "Owner", Owner: true, Admin: true})
	robot := w.portal.AddUser(portalsim.User{DisplayName: "Robot", RoomAdmin: true})
	w.key = w.portal.AddKey(robot, "files:write", "rooms:read", "accounts.self:read")
	w.room = w.portal.AddRoom(portalsim.Room{Title: "Legal", Owner: w.owner, Members: map[portalsim.UserID]portalsim.Access{
		robot: portalsim.ContentCreator,
	}})
	s, err := store.Open(t.Context(), store.Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "router.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w.store = s
	return w
}

// gateway is what one process knows of folders, with a client of its own.
func (w *office) gateway(settleAfter time.Duration) (*folders, Portal) {
	w.t.Helper()
	client, err := docspace.New(docspace.Options{
		Portal: "acme", URL: "http://portal.test", APIKey: func() string { return w.key }, Transport: w.portal.Transport(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return newFolders(Options{
		Store: w.store, Budget: func(string) store.Budget { return w.budget }, SettleAfter: settleAfter,
		CacheFor: time.Minute, FolderWait: time.Minute, Now: time.Now,
	}, newLookupMetrics(nil), slog.New(slog.DiscardHandler)), client
}

// tree lists the folders of the room by their paths.
func (w *office) tree() []string {
	var paths []string
	for _, e := range w.portal.Tree(w.room) {
		paths = append(paths, e.Path)
	}
	slices.Sort(paths)
	return paths
}

func (w *office) wantTree(want ...string) {
	w.t.Helper()
	if got := w.tree(); !slices.Equal(got, want) {
		w.t.Errorf("the room holds %q, want %q", got, want)
	}
}

func (w *office) resolve(f *folders, p Portal, path ...string) event.ID {
	w.t.Helper()
	id, err := f.resolve(w.t.Context(), "acme", p, w.budget, event.ID(w.room), path)
	if err != nil {
		w.t.Fatalf("resolve %q: %v", path, err)
	}
	return id
}

// mistaken is a portal whose answers about folders make the client panic, as long as they are left.
type mistaken struct {
	Portal
	left int
}

func (p *mistaken) FolderPath(ctx context.Context, id event.ID) ([]docspace.Folder, error) {
	p.meet()
	return p.Portal.FolderPath(ctx, id)
}

func (p *mistaken) Subfolders(ctx context.Context, id event.ID) ([]docspace.Folder, error) {
	p.meet()
	return p.Portal.Subfolders(ctx, id)
}

func (p *mistaken) meet() {
	if p.left--; p.left >= 0 {
		panic("a mistake")
	}
}

// TestAPanicOfALookUpIsItsError would end the test's process instead: look-ups run in goroutines of
// their own.
func TestAPanicOfALookUpIsItsError(t *testing.T) {
	t.Parallel()
	t.Run("a folder of a path", func(t *testing.T) {
		t.Parallel()
		w := newOffice(t, portalsim.Options{})
		f, client := w.gateway(time.Minute)
		p := &mistaken{client, 1}
		if _, err := f.resolve(t.Context(), "acme", p, w.budget, event.ID(w.room), []string{"2026"}); err == nil || !strings.Contains(err.Error(), "panic: a mistake") {
			t.Errorf("error %v, want the panic", err)
		}
		w.resolve(f, p, "2026")
		w.wantTree("2026")
	})
	t.Run("the place of an entry", func(t *testing.T) {
		t.Parallel()
		w := newRouted(t, portalsim.Options{})
		w.portal = &mistaken{w.portal, 1}
		elsewhere := rules.Spec{Name: "elsewhere", Routes: []rules.Route{{Source: event.ID(w.room), Subfolders: true, Destination: "7"}}}
		other := w.office.portal.AddFolder(w.room, "Other", w.owner)
		w.want(w.decide(other, time.Hour, elsewhere), event.EventPending, "panic: a mistake")
		if d := w.decide(other, time.Hour, elsewhere); d.State != event.EventRouted || len(d.Transfers) != 1 {
			t.Errorf("after it, decided %+v", d)
		}
	})
}

// Three processes with eight workers each want the same folders at the same moment.
func TestFoldersOfAPathAreCreatedOnce(t *testing.T) {
	t.Parallel()
	w := newOffice(t, portalsim.Options{})
	var workers sync.WaitGroup
	var mu sync.Mutex
	found := map[string]map[event.ID]bool{}
	for range 3 {
		f, p := w.gateway(time.Minute)
		for worker := range 24 {
			workers.Go(func() {
				path := []string{fmt.Sprintf("Client %d", worker%3), "2026-03"}
				id, err := f.resolve(t.Context(), "acme", p, w.budget, event.ID(w.room), path)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				key := strings.Join(path, "/")
				if found[key] == nil {
					found[key] = map[event.ID]bool{}
				}
				found[key][id] = true
			})
		}
	}
	workers.Wait()
	w.wantTree("Client 0", "Client 0/2026-03", "Client 1", "Client 1/2026-03", "Client 2", "Client 2/2026-03")
	for path, ids := range found {
		if len(ids) != 1 {
			t.Errorf("%s was found as %v", path, ids)
		}
	}
}

func TestFoldersThatAreThereAreUsed(t *testing.T) {
	t.Parallel()
	w := newOffice(t, portalsim.Options{})
	old := w.portal.AddFolder(w.room, "ACME", w.owner)
	w.portal.AddFolder(w.room, "ACME", w.owner)
	exact := w.portal.AddFolder(w.room, "Acme", w.owner)
	f, p := w.gateway(time.Minute)
	if id := w.resolve(f, p, "Acme"); id != event.ID(exact) {
		t.Errorf("found %s, want %s with the very title", id, exact)
	}
	w.portal.DeleteFolder(exact, w.owner)
	f, p = w.gateway(time.Minute)
	if id := w.resolve(f, p, "Acme"); id != event.ID(old) {
		t.Errorf("found %s, want %s, the older one", id, old)
	}
	w.wantTree("ACME", "ACME")
}

// What people do to folders is noticed, by a gateway that knows them too.
func TestFoldersThatChangeAreFoundAnew(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *office, id portalsim.ID){
		"deleted": func(w *office, id portalsim.ID) { w.portal.DeleteFolder(id, w.owner) },
		"trashed": func(w *office, id portalsim.ID) { w.portal.Trash(portalsim.KindFolder, id, w.owner) },
		"renamed": func(w *office, id portalsim.ID) { w.portal.Rename(portalsim.KindFolder, id, "Done", w.owner) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOffice(t, portalsim.Options{})
			f, p := w.gateway(time.Minute)
			first := w.resolve(f, p, "2026", "03")
			parent, err := p.Folder(t.Context(), first)
			if err != nil {
				t.Fatal(err)
			}
			change(w, portalsim.ID(parent.ParentID))
			// This one remembers nothing; for the other one an event tells.
			other, p2 := w.gateway(time.Minute)
			second := w.resolve(other, p2, "2026", "03")
			f.observe("acme", event.Event{Trigger: "folder.updated", Entry: event.Entry{Kind: event.Folder, ID: parent.ParentID}})
			if third := w.resolve(f, p, "2026", "03"); second == first || third != second {
				t.Errorf("%s before, %s and %s after", first, second, third)
			}
		})
	}
}

func TestALostAnswerMakesNoSecondFolder(t *testing.T) {
	t.Parallel()
	post := portalsim.Fault{Method: "POST", Path: "files/folder/{id}", Times: 1}
	for name, c := range map[string]struct {
		fault portalsim.FaultKind
		done  bool // the portal did what it was asked for
	}{
		"done and not answered":     {portalsim.LoseAnswer, true},
		"not done and not answered": {portalsim.Reset, false},
		"not done and garbage":      {portalsim.Garbage, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOffice(t, portalsim.Options{})
			fault := post
			fault.Kind = c.fault
			w.portal.Inject(fault)
			f, p := w.gateway(300 * time.Millisecond)
			id, err := f.resolve(t.Context(), "acme", p, w.budget, event.ID(w.room), []string{"2026"})
			if c.done {
				// It is there, so the look after the lost answer has found it.
				if err != nil || id == "" {
					t.Fatalf("resolve: %q, %v", id, err)
				}
			} else {
				if err == nil {
					t.Fatal("nobody knows whether the folder will appear, and yet there is an answer")
				}
				// Another process has to wait as well. It does so within its try.
				f, p = w.gateway(300 * time.Millisecond)
				w.resolve(f, p, "2026")
			}
			w.wantTree("2026")
			posts := 1
			if !c.done {
				posts = 2
			}
			if n := w.portal.Calls().Count("POST", "files/folder/{id}"); n != posts {
				t.Errorf("%d calls to create a folder, want %d", n, posts)
			}
		})
	}
}

// A crash between the call and the note of its outcome leaves the row of the call alone.
func TestACrashAfterTheCallMakesNoSecondFolder(t *testing.T) {
	t.Parallel()
	w := newOffice(t, portalsim.Options{})
	key := store.FolderKey{Portal: "acme", Parent: event.ID(w.room), Title: "2026"}
	if begun, _, err := w.store.BeginFolder(t.Context(), key, time.Now(), time.Minute, w.budget); err != nil || !begun {
		t.Fatalf("BeginFolder: %v, %v", begun, err)
	}
	f, p := w.gateway(time.Minute)
	appears := make(chan struct{})
	go func() {
		defer close(appears)
		w.portal.AddFolder(w.room, "2026", w.owner) // the call arrives late
	}()
	w.resolve(f, p, "2026")
	<-appears
	w.wantTree("2026")
}

func TestTitlesAreWhatThePortalMakesOfThem(t *testing.T) {
	t.Parallel()
	w := newOffice(t, portalsim.Options{})
	// A title that no cleaning of ours foresees still leads to one folder.
	const odd = ` Offer: "A/B" * 😀 `
	for range 3 {
		f, p := w.gateway(time.Minute) // remembers nothing
		w.resolve(f, p, odd)
	}
	if got := w.tree(); len(got) != 1 || got[0] == odd {
		t.Errorf("the room holds %q, want one folder of a cleaned title", got)
	}
}

func TestFoldersTakeFromTheBudgetOfWrites(t *testing.T) {
	t.Parallel()
	w := newOffice(t, portalsim.Options{})
	w.budget = store.Budget{WritesPerDay: 4} // one at once
	f, p := w.gateway(time.Minute)
	w.resolve(f, p, "a")
	_, err := f.resolve(t.Context(), "acme", p, w.budget, event.ID(w.room), []string{"b"})
	if err == nil || !strings.Contains(err.Error(), "budget of writes") {
		t.Errorf("a second folder: %v", err)
	}
	w.wantTree("a")
	usage, err := w.store.Usage(t.Context(), "acme", w.budget)
	if err != nil || usage.WritesToday != 1 {
		t.Errorf("usage: %+v, %v", usage, err)
	}
}

func TestRefusalsAreToldApart(t *testing.T) {
	t.Parallel()
	w := newOffice(t, portalsim.Options{})
	closed := w.portal.AddRoom(portalsim.Room{Title: "Closed", Owner: w.owner})
	f, p := w.gateway(time.Minute)
	ctx := t.Context()
	if _, err := f.resolve(ctx, "acme", p, w.budget, "999999", []string{"a"}); !docspace.IsGone(err) {
		t.Errorf("a folder that is not there: %v", err)
	}
	if _, err := f.resolve(ctx, "acme", p, w.budget, event.ID(closed), []string{"a"}); !docspace.IsForbidden(err) {
		t.Errorf("a room of others: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := f.resolve(canceled, "acme", p, w.budget, event.ID(w.room), []string{"a"}); err == nil {
		t.Error("an answer after the end")
	}
	// The folder is made all the same, for whoever asks next.
	w.resolve(f, p, "a")
	w.wantTree("a")
}

// TestARefusalIsNotAskedForAgain lets many events of two processes want a folder in a room where
// the gateway may only read.
func TestARefusalIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	w := newOffice(t, portalsim.Options{})
	w.portal.Inject(portalsim.Fault{
		Kind: portalsim.Refuse, Status: http.StatusForbidden, Message: "Access denied", Method: "POST", Path: "files/folder/{id}",
	})
	for range 2 {
		f, p := w.gateway(time.Minute)
		for range 10 {
			_, err := f.resolve(t.Context(), "acme", p, w.budget, event.ID(w.room), []string{"2026"})
			if !docspace.IsForbidden(err) || !strings.Contains(err.Error(), "Access denied") {
				t.Errorf("refused: %v", err)
			}
		}
	}
	if n := w.portal.Calls().Count("POST", "files/folder/{id}"); n != 1 {
		t.Errorf("%d calls to create the folder, want 1", n)
	}
	// What a person makes is found all the same.
	w.portal.AddFolder(w.room, "2026", w.owner)
	f, p := w.gateway(time.Minute)
	w.resolve(f, p, "2026")
}

// TestASlowFolderIsNotWaitedFor lets many events want a folder below one that the portal says
// nothing about.
func TestASlowFolderIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := newOffice(t, portalsim.Options{})
	f, p := w.gateway(time.Minute)
	f.lookFor = time.Second
	w.portal.Inject(portalsim.Fault{Kind: portalsim.Hang, Method: "GET", Path: "files/{id}/subfolders"})
	for range 100 {
		if _, err := f.resolve(t.Context(), "acme", p, w.budget, event.ID(w.room), []string{"a"}); !errors.Is(err, errStillLooking) {
			t.Fatalf("while the portal does not answer: %v", err)
		}
		// The first has waited. The others would wait for a minute if the call were a new one.
		f.lookFor = time.Minute
		f.began.Range(func(call, _ any) bool {
			f.began.Store(call, time.Now().Add(-time.Hour))
			return true
		})
	}
	if n := w.portal.Calls().Count("GET", "files/{id}/subfolders"); n > 1 {
		t.Errorf("%d calls for one folder, want one that all wait for", n)
	}
}
