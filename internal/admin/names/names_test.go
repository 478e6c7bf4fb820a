package names

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"docspace-router/internal/event"
	"docspace-router/internal/guard"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table has a rule for each of some pairs of a source and a destination, on two portals.
func table(t *testing.T, pairs ...[2]event.ID) *rules.Table {
	t.Helper()
	var specs []rules.Spec
	for i, p := range pairs {
		specs = append(specs, rules.Spec{
			Name: fmt.Sprint("r", i), Portals: []string{"acme", "beta"}, Triggers: []string{"file.uploaded"}, Action: event.Copy,
			Conflict: event.Duplicate, Routes: []rules.Route{{Source: p[0], SourceKind: rules.RoomSource, Destination: p[1]}},
		})
	}
	out, errs := rules.Compile(specs)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return out
}

// portals answers what rooms are called, or nothing while it is down.
type portals struct {
	titles map[store.Room]string
	down   bool
	asked  int
}

func (p *portals) title(ctx context.Context, portal string, id event.ID) (string, error) {
	p.asked++
	if p.down {
		<-ctx.Done() // a portal that hangs
		return "", errors.New("no answer")
	}
	title, ok := p.titles[store.Room{Portal: portal, ID: id}]
	if !ok {
		return "", errors.New("no such folder")
	}
	return title, nil
}

// within runs a test with a Book that looks names up.
func within(t *testing.T, p *portals, o Options, test func(t *testing.T, b *Book)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Title = p.title
		if o.Rules == nil {
			o.Rules = func() *rules.Table { return table(t) }
		}
		if o.Sources == nil {
			o.Sources = func(context.Context, int) ([]store.Room, error) { return nil, nil }
		}
		b := New(o)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		test(t, b)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestNamesAreNeverWaitedFor(t *testing.T) {
	t.Parallel()
	p := &portals{titles: map[store.Room]string{{Portal: "acme", ID: "1"}: "Client A"}}
	within(t, p, Options{}, func(t *testing.T, b *Book) {
		if got := b.Of("acme", "1"); got != "" {
			t.Errorf("an unknown room is called %q", got)
		}
		synctest.Wait()
		if got := b.Of("acme", "1"); got != "Client A" || b.Version() != 1 {
			t.Errorf("a known room is called %q, version %d", got, b.Version())
		}
		p.down = true
		time.Sleep(nameTime + time.Second)
		_ = b.Of("acme", "1")
		time.Sleep(nameTimeout + time.Second)
		if got := b.Of("acme", "1"); got != "Client A" {
			t.Errorf("while the portal is down it is called %q", got)
		}
	})
}

func TestFindSoonWaitsForNamesForAMoment(t *testing.T) {
	t.Parallel()
	p := &portals{titles: map[store.Room]string{{Portal: "acme", ID: "1"}: "Client A", {Portal: "acme", ID: "2"}: "Legal"}}
	inUse := table(t, [2]event.ID{"1", "2"})
	o := Options{Rules: func() *rules.Table { return inUse }}
	within(t, p, o, func(t *testing.T, b *Book) {
		f, err := b.FindSoon(t.Context(), "acme", "client")
		if err != nil || len(f.Rooms) != 1 || f.Rooms[0].ID != "1" || f.Waiting != 0 {
			t.Errorf("the first time %+v is found, %v", f, err)
		}
		started := time.Now()
		if f, err = b.FindSoon(t.Context(), "acme", "client"); err != nil || time.Since(started) != 0 || len(f.Rooms) != 1 {
			t.Errorf("what is known is found after %s: %+v, %v", time.Since(started), f, err)
		}
	})
	within(t, &portals{down: true}, o, func(t *testing.T, b *Book) {
		started := time.Now()
		f, err := b.FindSoon(t.Context(), "", "client")
		if took := time.Since(started); err != nil || f.Waiting != 4 || took < soonTime || took > soonTime+soonStep {
			t.Errorf("a portal that hangs is waited for %s: %+v, %v", took, f, err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if _, err := b.FindSoon(ctx, "", "client"); !errors.Is(err, context.Canceled) {
			t.Errorf("who has gone is answered %v", err)
		}
	})
}

func TestRoomsAreFoundByNameAndID(t *testing.T) {
	t.Parallel()
	p := &portals{titles: map[store.Room]string{
		{Portal: "acme", ID: "1"}: "Client A archive", {Portal: "acme", ID: "2"}: "Client A", {Portal: "acme", ID: "3"}: "2",
		{Portal: "beta", ID: "1"}: "Legal", {Portal: "beta", ID: "2"}: "Договоры", {Portal: "beta", ID: "3"}: "Kitchen",
		{Portal: "acme", ID: "4"}: "Client B, tagged", {Portal: "gone", ID: "5"}: "Client of before",
	}}
	o := Options{
		Rules: func() *rules.Table { return nil },
		Sources: func(context.Context, int) ([]store.Room, error) {
			return []store.Room{{Portal: "acme", ID: "4"}, {Portal: "acme", ID: "1"}, {Portal: "gone", ID: "5"}}, nil
		},
	}
	rulesInUse := table(t, [2]event.ID{"1", "2"}, [2]event.ID{"2", "3"})
	o.Rules = func() *rules.Table { return rulesInUse }
	within(t, p, o, func(t *testing.T, b *Book) {
		first, err := b.Find(t.Context(), "", "client")
		if err != nil || len(first.Rooms) > 0 || first.Waiting != 7 || !strings.Contains(first.Note(0), "names of 7 rooms and folders are still being looked up") ||
			strings.Contains(first.Note(0), "No room") {
			t.Errorf("at first %+v is found, %v: %s", first, err, first.Note(0))
		}
		synctest.Wait()
		for _, tt := range []struct {
			portal, text, want, filter, note string
		}{
			{"", "client", "acme/2 acme/1 acme/4", "/client acme/2 acme/1 acme/4", ""},
			{"", "  CLIENT a ", "acme/2 acme/1", "/CLIENT a acme/2 acme/1", ""},
			{"", "2", "acme/3", "/2 acme/3", ""},
			{"", "1", "", "/1", ""},
			{"", "договор", "beta/2", "/договор beta/2", ""},
			{"beta", "client", "", "/client", `called "client"`},
			{"acme", "client b", "acme/4", "/client b acme/4", ""},
			{"", "Client of before", "", "/Client of before", `called "Client of before"`},
			{"", "77", "", "/77", `called "77" or has this id`},
			{"", " ", "", "", ""},
		} {
			f, err := b.Find(t.Context(), tt.portal, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			var got, filter []string
			for _, r := range f.Rooms {
				got = append(got, r.Portal+"/"+r.ID)
				if r.Name != p.titles[store.Room{Portal: r.Portal, ID: event.ID(r.ID)}] {
					t.Errorf("%+v has a wrong name", r)
				}
			}
			for _, r := range f.Filter() {
				filter = append(filter, r.Portal+"/"+string(r.ID))
			}
			if diff := cmp.Diff([]string{tt.want, tt.filter}, []string{strings.Join(got, " "), strings.Join(filter, " ")}); diff != "" {
				t.Errorf("%q on %q (-want +got):\n%s", tt.text, tt.portal, diff)
			}
			if note := f.Note(0); (note == "") != (tt.note == "") || !strings.Contains(note, tt.note) {
				t.Errorf("%q on %q is noted with %q, want %q", tt.text, tt.portal, note, tt.note)
			}
			if note := f.Note(3); note != "" {
				t.Errorf("%q is noted with %q although something is listed", tt.text, note)
			}
		}
		titles, err := b.Titles(t.Context(), 3)
		if diff := cmp.Diff([]string{"2", "Client A", "Client A archive"}, titles); diff != "" || err != nil {
			t.Errorf("titles: %v (-want +got):\n%s", err, diff)
		}
	})
}

func TestARoomThatIsNotToldIsCountedAndAskedForSeldom(t *testing.T) {
	t.Parallel()
	p := &portals{titles: map[store.Room]string{{Portal: "acme", ID: "1"}: "Client A", {Portal: "beta", ID: "1"}: "x", {Portal: "beta", ID: "2"}: "y"}}
	inUse := table(t, [2]event.ID{"1", "2"})
	within(t, p, Options{Rules: func() *rules.Table { return inUse }}, func(t *testing.T, b *Book) {
		find := func() Found {
			t.Helper()
			f, err := b.Find(t.Context(), "", "Client Z")
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return f
		}
		find()
		f := find()
		if f.Waiting != 0 || f.Untold != 1 || !strings.Contains(f.Note(0), `called "Client Z"`) || !strings.Contains(f.Note(0), "The name of 1 room or folder is not told") {
			t.Errorf("found is %+v: %s", f, f.Note(0))
		}
		if p.asked != 4 {
			t.Errorf("portals were asked %d times, want 4", p.asked)
		}
		for range 40 { // one of the names cannot be told, and each minute it is tried anew
			time.Sleep(unknownTime)
			find()
		}
		if p.asked > 4+40 {
			t.Errorf("within 40 minutes portals were asked %d times", p.asked)
		}
		time.Sleep(findTime)
		p.asked = 0
		find()
		if p.asked != 4 {
			t.Errorf("after an hour portals were asked %d times, want 4", p.asked)
		}
	})
}

func TestANameThatThePortalHasNotIsAskedForSeldom(t *testing.T) {
	t.Parallel()
	room := store.Room{Portal: "acme", ID: "1"}
	p := &portals{titles: map[store.Room]string{room: "", {Portal: "acme", ID: "2"}: "Client A"}}
	within(t, p, Options{}, func(t *testing.T, b *Book) {
		of := func(id event.ID) string {
			defer synctest.Wait()
			return b.Of("acme", id)
		}
		of("2")
		of("2")
		p.titles[store.Room{Portal: "acme", ID: "2"}] = "" // it is deleted
		p.asked = 0
		for range 40 {
			of("1")
			time.Sleep(time.Minute)
		}
		if p.asked > 4 {
			t.Errorf("within 40 minutes the portal was asked %d times", p.asked)
		}
		of("2")
		if got := of("2"); got != "Client A" {
			t.Errorf("a room that was deleted is called %q", got)
		}
	})
}

func TestAfterAPanicANameIsAskedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		b := New(Options{Title: func(context.Context, string, event.ID) (string, error) {
			if asked++; asked == 1 {
				panic("a mistake")
			}
			return "Client A", nil
		}})
		ctx, stop := context.WithCancel(t.Context())
		var part sync.WaitGroup
		part.Go(func() {
			_ = guard.Keep(ctx, slog.New(slog.DiscardHandler), "names", func() error { return b.Run(ctx) })
		})
		_ = b.Of("acme", "1")
		time.Sleep(unknownTime + time.Second)
		_ = b.Of("acme", "1")
		synctest.Wait()
		if got := b.Of("acme", "1"); got != "Client A" || asked != 2 {
			t.Errorf("it is called %q after %d questions", got, asked)
		}
		stop()
		part.Wait()
	})
}

func TestANameThatFitsTooMuchIsCut(t *testing.T) {
	t.Parallel()
	p := &portals{titles: map[store.Room]string{}}
	var pairs [][2]event.ID
	for i := range mostFound + 5 {
		id := event.ID(fmt.Sprint(i))
		pairs = append(pairs, [2]event.ID{id, "9999"})
		p.titles[store.Room{Portal: "acme", ID: id}] = fmt.Sprintf("Client %02d", i)
	}
	inUse := table(t, pairs...)
	within(t, p, Options{Rules: func() *rules.Table { return inUse }}, func(t *testing.T, b *Book) {
		for range 2 {
			if _, err := b.Titles(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		f, err := b.Find(t.Context(), "acme", "client")
		if err != nil || len(f.Rooms) != mostFound || !f.More || f.Whole() || !strings.Contains(f.Note(5), "More than 20") {
			t.Errorf("found is %+v, %v: %s", f, err, f.Note(5))
		}
	})
}
