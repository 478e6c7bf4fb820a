package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"docspace-router/internal/app"
	"docspace-router/internal/portalsim"
)

// TestRulesAreRewrittenUnderLoad replaces the rules file some 50 times a second, by good versions
// and by bad ones, while deliveries come in all the time. Not one is refused or lost, and each
// event is routed by one complete version: version n has two rules that bear its number, and an
// entry's transfers must be of both.
func TestRulesAreRewrittenUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("under the race detector this proves nothing: the file is rewritten more often than a slow machine reads it")
	}
	t.Parallel()
	const rewriteFor = 10 * time.Second
	w := newWorld(t, portalsim.Options{})
	other := w.addRoom("Other")
	version := func(n int) string {
		return "version: 1\nrules:\n" +
			rule(fmt.Sprintf("first-%d", n), w.room, w.dest) + rule(fmt.Sprintf("second-%d", n), w.room, other)
	}
	w.replaceRules(version(0))
	w.start()

	done := make(chan struct{})
	var work sync.WaitGroup
	var uploads, versions int
	work.Go(func() { // the writer
		every := time.NewTicker(20 * time.Millisecond)
		defer every.Stop()
		for n := 1; ; n++ {
			select {
			case <-done:
				versions = n
				return
			case <-every.C:
			}
			text := version(n)
			if n%5 == 0 {
				text = text[:len(text)*2/3] // cut off in the middle of a rule
			}
			next := filepath.Join(w.dir, ".next")
			if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
				t.Error(err)
				return
			}
			if err := os.Rename(next, w.options.Rules); err != nil {
				t.Error(err)
				return
			}
		}
	})
	refused := 0
	work.Go(func() {
		// Left alone, the gateway would wait until the file stands still.
		for {
			select {
			case <-done:
				return
			default:
				if w.gateway.(*app.App).Reload(t.Context(), "test") != nil {
					refused++
				}
			}
		}
	})
	work.Go(func() { // people
		every := time.NewTicker(10 * time.Millisecond)
		defer every.Stop()
		for ; ; uploads++ {
			select {
			case <-done:
				return
			case <-every.C:
				w.portal.Upload(w.room, fmt.Sprintf("%d.pdf", uploads), 1, w.client)
			}
		}
	})
	end := time.NewTimer(rewriteFor)
	<-end.C
	close(done)
	work.Wait()
	w.rest()
	t.Logf("%d versions, %d reloads refused, %d uploads", versions, refused, uploads)

	for _, row := range w.portal.DeliveryLog() {
		if row.Status != 200 || row.Attempts != 1 {
			t.Errorf("delivery %d ended with %d after %d attempts", row.ID, row.Status, row.Attempts)
		}
	}
	if n := len(w.titles(w.dest)); n != uploads {
		t.Errorf("%d files arrived of %d", n, uploads)
	}
	numbers := map[string][]string{}
	for _, tr := range w.allTransfers() {
		numbers[tr.EntryID] = append(numbers[tr.EntryID], tr.Rule)
	}
	if len(numbers) != uploads {
		t.Errorf("%d files were routed of %d", len(numbers), uploads)
	}
	used := map[string]bool{}
	for entry, rules := range numbers {
		slices.Sort(rules)
		_, first, _ := strings.Cut(rules[0], "-")
		used[first] = true
		if want := []string{"first-" + first, "second-" + first}; !slices.Equal(rules, want) {
			t.Errorf("file %s was routed by %q", entry, rules)
		}
	}
	if len(used) < 3 || refused == 0 {
		t.Errorf("%d versions routed something and %d were refused: the file was not rewritten under load", len(used), refused)
	}
}

// allTransfers lists transfers page by page.
func (w *world) allTransfers() []transfer {
	w.t.Helper()
	var all []transfer
	for cursor := ""; ; {
		var page struct {
			Transfers  []transfer `json:"transfers"`
			NextCursor string     `json:"next_cursor"`
		}
		w.get("/api/v1/transfers?limit=1000&cursor="+cursor, &page)
		all = append(all, page.Transfers...)
		if cursor = page.NextCursor; cursor == "" {
			return all
		}
	}
}

// TestADirectoryOfRulesSurvivesARestartAmidABadFile keeps what was good of each file.
func TestADirectoryOfRulesSurvivesARestartAmidABadFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	other := w.addRoom("Other")
	w.options.Rules = filepath.Join(w.dir, "rules.d")
	file := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(w.options.Rules, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(w.options.Rules, 0o700); err != nil {
		t.Fatal(err)
	}
	file("one.yaml", "version: 1\nrules:\n"+rule("one", w.room, w.dest))
	file("two.yaml", "version: 1\nrules:\n"+rule("two", w.room, other))
	w.start()
	w.portal.Upload(w.room, "a.pdf", 1, w.client)
	w.wantTitles(w.dest, "a.pdf")
	w.wantTitles(other, "a.pdf")

	file("one.yaml", "rules: [")
	w.eventually("the mistake is told", func() bool { return len(w.status().Rules.Errors) > 0 })
	file("two.yaml", "version: 1\nrules:\n"+rule("two", w.room, other, "when: file.extension == 'txt'"))
	w.eventually("the other file is taken up", func() bool {
		w.portal.Upload(w.room, "probe.pdf", 1, w.client)
		w.rest()
		return len(w.transfersOf("two")) < len(w.transfersOf("one"))
	})
	w.restart()
	if s := w.status(); s.Rules.Rules != 2 || len(s.Rules.Errors) != 1 || !strings.Contains(s.Rules.Errors[0], "one.yaml:1:1: ") {
		t.Errorf("after the restart: %+v", s.Rules)
	}
	if ready := w.ready(); !strings.Contains(ready, "rules: files have errors") {
		t.Errorf("/readyz says %q", ready)
	}
	w.portal.Upload(w.room, "b.txt", 1, w.client)
	w.rest()
	if !slices.Contains(w.titles(w.dest), "b.txt") || !slices.Contains(w.titles(other), "b.txt") {
		t.Errorf("after the restart %q and %q", w.titles(w.dest), w.titles(other))
	}
}

func (w *world) transfersOf(rule string) []transfer {
	w.t.Helper()
	return slices.DeleteFunc(w.allTransfers(), func(t transfer) bool { return t.Rule != rule })
}

// TestTenThousandRulesAreSwappedUnderLoad reloads a large file while deliveries come in.
func TestTenThousandRulesAreSwappedUnderLoad(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("parses ten thousand rules again and again")
	}
	w := newWorld(t, portalsim.Options{})
	large := func(version int) string {
		var b strings.Builder
		b.WriteString("version: 1\nrules:\n")
		b.WriteString(rule(fmt.Sprintf("real-%d", version), w.room, w.dest))
		for i := range 10_000 {
			fmt.Fprintf(&b, "  - {name: r-%d, triggers: [file.uploaded], source: {room: %d}, when: 'file.size > %d', action: copy, destination: {folder: %d}}\n",
				i, 5_000_000+i, i%100, 6_000_000+i)
		}
		return b.String()
	}
	w.replaceRules(large(0))
	w.options.Pace.Reload = patience // no reload but on request
	w.start()
	uploads := 0
	for version := range 4 {
		w.replaceRules(large(version + 1))
		loaded := make(chan error, 1)
		go func() { loaded <- w.gateway.(*app.App).Reload(t.Context(), "test") }()
		for done := false; !done; uploads++ {
			w.portal.Upload(w.room, fmt.Sprintf("%d.pdf", uploads), 1, w.client)
			select {
			case err := <-loaded:
				if err != nil {
					t.Fatal(err)
				}
				done = true
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	w.rest()
	slowest := time.Duration(0)
	for _, row := range w.portal.DeliveryLog() {
		if row.Status != 200 || row.Attempts != 1 {
			t.Errorf("delivery %d ended with %d after %d attempts", row.ID, row.Status, row.Attempts)
		}
		slowest = max(slowest, row.Delivered.Sub(row.Sends[0].At))
	}
	t.Logf("%d uploads, the slowest answer after %s", uploads, slowest)
	if n := len(w.titles(w.dest)); n != uploads {
		t.Errorf("%d files arrived of %d", n, uploads)
	}
	if n := w.status().Rules.Rules; n != 10_001 {
		t.Errorf("%d rules are in use", n)
	}
}
