package app_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"docspace-router/internal/portalsim"
)

// sixMistakes is a rules file with six different mistakes.
const sixMistakes = `version: 1
rules:
  - name: uploads
    triggers: [file.uplaoded]
    source: {room: 7}
    action: mvoe
    destination: {folder: 8}
  - name: uploads
    triggers: [file.uploaded]
    source: {romo: 7}
    when: file.titel == "x"
    action: copy
    destination: {folder: 8.5}
`

var position = regexp.MustCompile(`^\S*rules\.yaml:\d+:\d+: rules\[\d]\.`)

func TestABadRulesFileChangesNothing(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(w *world){
		"six mistakes": func(w *world) { w.replaceRules(sixMistakes) },
		"empty":        func(w *world) { w.replaceRules("") },
		"missing": func(w *world) {
			if err := os.Remove(w.options.Rules); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portalsim.Options{})
			w.writeRules(rule("uploads", w.room, w.dest))
			w.start()
			w.portal.Upload(w.room, "before.pdf", 1, w.client)
			w.wantTitles(w.dest, "before.pdf")

			spoil(w)
			w.eventually("the mistake is reported", func() bool { return len(w.status().Rules.Errors) > 0 })
			if name == "six mistakes" {
				errors := w.status().Rules.Errors
				if len(errors) != 6 {
					t.Errorf("%d errors, want 6:\n%s", len(errors), strings.Join(errors, "\n"))
				}
				for _, e := range errors {
					if !position.MatchString(e) {
						t.Errorf("%q does not begin with file, line and column", e)
					}
				}
			}
			w.portal.Upload(w.room, "after.pdf", 1, w.client)
			w.wantTitles(w.dest, "before.pdf", "after.pdf")
			if s := w.status(); !s.Rules.LastGood {
				t.Errorf("/status says %+v, /readyz that the last good version is in use", s.Rules)
			}
			if ready := w.ready(); !strings.Contains(ready, "rules: the file has errors; the last good version is in use, 1 rule") {
				t.Errorf("/readyz says %q", ready)
			}
			if ready, want := w.readyAt(w.gateway.Addr()), "database: ok\nrules: the file has errors\n"; ready != want {
				t.Errorf("/readyz tells strangers %q, want %q", ready, want)
			}

			// A restart amid the bad file still routes, by the version kept in the database.
			w.restart()
			w.portal.Upload(w.room, "restarted.pdf", 1, w.client)
			w.wantTitles(w.dest, "before.pdf", "after.pdf", "restarted.pdf")
			if s := w.status(); !s.Rules.LastGood || len(s.Rules.Errors) == 0 {
				t.Errorf("after the restart: %+v, want the last good version and the errors", s.Rules)
			}

			w.writeRules(rule("elsewhere", w.room, w.room, "when: file.title == 'x'"))
			w.eventually("the mended file is in use", func() bool {
				s := w.status()
				return len(s.Rules.Errors) == 0 && !s.Rules.LastGood
			})
			w.portal.Upload(w.room, "mended.pdf", 1, w.client)
			w.wantTitles(w.dest, "before.pdf", "after.pdf", "restarted.pdf")
		})
	}
}

func TestReloadEndpointTellsEveryProblem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.options.Pace.Reload = patience // no look at the content but on request
	w.start()
	w.replaceRules(sixMistakes)
	code, text := w.postReload()
	if code != http.StatusUnprocessableEntity || strings.Count(text, "rules.yaml:") != 6 {
		t.Errorf("reload answered %d %s, want 422 and six problems", code, text)
	}
	w.writeRules(rule("uploads", w.room, w.dest), rule("more", w.room, w.dest))
	if code, text = w.postReload(); code != http.StatusOK {
		t.Errorf("reload answered %d %s", code, text)
	}
	if n := w.status().Rules.Rules; n != 2 {
		t.Errorf("%d rules are in use, want 2", n)
	}
}

func (w *world) postReload() (int, string) {
	w.t.Helper()
	resp, err := http.Post("http://"+w.gateway.AdminAddr()+"/-/reload", "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// ready is what administrators are told.
func (w *world) ready() string {
	w.t.Helper()
	return w.readyAt(w.gateway.AdminAddr())
}

func (w *world) readyAt(address string) string {
	w.t.Helper()
	resp, err := http.Get("http://" + address + "/readyz")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(raw)
}

// TestConfigMapSwapsTakeEffect replaces the rules as kubelet does it, while files come in.
func TestConfigMapSwapsTakeEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	mount := filepath.Join(w.dir, "mount")
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	swap := func(n int, rules ...string) {
		t.Helper()
		version := filepath.Join(mount, fmt.Sprintf("..2026_11_23_12_00_%02d.1", n))
		data := filepath.Join(mount, "..data")
		old, _ := os.Readlink(data)
		for _, err := range []error{
			os.Mkdir(version, 0o755),
			os.WriteFile(filepath.Join(version, "rules.yaml"), []byte("version: 1\nrules:\n"+strings.Join(rules, "")), 0o600),
			os.Symlink(filepath.Base(version), data+"_tmp"),
			os.Rename(data+"_tmp", data),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if old != "" {
			if err := os.RemoveAll(filepath.Join(mount, old)); err != nil {
				t.Fatal(err)
			}
		}
	}
	swap(0, rule("uploads", w.room, w.dest))
	if err := os.Symlink(filepath.Join("..data", "rules.yaml"), filepath.Join(mount, "rules.yaml")); err != nil {
		t.Fatal(err)
	}
	w.options.Rules = filepath.Join(mount, "rules.yaml")
	w.start()
	var want []string
	for n := 1; n <= 5; n++ {
		next := w.addRoom(fmt.Sprintf("Destination %d", n))
		rules := []string{rule("uploads", w.room, next)}
		for i := range n {
			rules = append(rules, rule(fmt.Sprintf("other-%d", i), w.dest, w.room))
		}
		swap(n, rules...)
		w.eventually("the swapped rules are in use", func() bool { return w.status().Rules.Rules == n+1 })
		title := fmt.Sprintf("Version %d.pdf", n)
		want = append(want, title)
		w.portal.Upload(w.room, title, 1, w.client)
		w.wantTitles(next, title)
	}
	w.wantTitles(w.room, want...)
}
