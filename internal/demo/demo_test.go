package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"docspace-router/internal/portalsim"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestOnceVerifiesEveryAct(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Out: &out, Once: true, Version: "test", Dir: t.TempDir()}); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{
		"1. A client uploads", "2. A file that no rule wants", "3. A repeated delivery", "4. A forged delivery", "5. A rule added",
		"All 5 acts verified against the portal's own listing",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, &out)
		}
	}
}

// TestOnceFailsWhenSomethingIsWrong spoils one thing at a time: a demo that cannot fail
// verifies nothing.
func TestOnceFailsWhenSomethingIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*stage)
		want  string
	}{
		"a copy nobody asked for": {
			func(s *stage) { s.portal.Upload(s.dest, "Intruder.pdf", 1, s.client) }, "demo: act 1",
		},
		"uploads into a room without a rule": {
			func(s *stage) { s.room = s.other }, "demo: act 1",
		},
		"a rule wants what none should": {
			func(s *stage) { s.other = s.room }, "demo: act 2",
		},
		"the forger knows the secret": {
			func(s *stage) { s.forger = webhookSecret }, "demo: act 4",
		},
		"the rules are saved elsewhere": {
			func(s *stage) { s.rulesFile += ".new" }, "demo: act 5",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := newStage(t.Context(), Options{Out: io.Discard, Patience: 3 * time.Second}, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(s)
			err = s.perform(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error of %q", err, c.want)
			}
			if err := s.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOnceFailsWhenInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	out := &watched{when: "1. A client", then: cancel}
	err := Run(ctx, Options{Out: out, Once: true, Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("got %v, want it to say that it was interrupted", err)
	}
}

// TestGoesOnUntilInterrupted follows the endless demo while its rules file is broken and mended.
func TestGoesOnUntilInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.yaml")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var good []byte
	mended := &watched{when: "the rules file is as it was: 1 in use", then: cancel}
	broken := &watched{when: "rules[0].action: unknown action", then: func() { write(t, rules, good) }}
	first := &watched{when: `copy of "Report 001.pdf" to "Acme - Internal" done`, then: func() {
		good = read(t, rules)
		write(t, rules, bytes.Replace(good, []byte("action: copy"), []byte("action: send"), 1))
	}}
	deadline := time.AfterFunc(30*time.Second, cancel)
	defer deadline.Stop()
	if err := Run(ctx, Options{Out: io.MultiWriter(first, broken, mended), Dir: dir}); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*watched{first, broken, mended} {
		if !w.seen {
			t.Errorf("the demo never said %q:\n%s", w.when, &w.text)
		}
	}
}

func TestRunFailsWithoutAFolder(t *testing.T) {
	t.Parallel()
	err := Run(t.Context(), Options{Out: io.Discard, Once: true, Dir: filepath.Join(t.TempDir(), "none")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that the folder does not exist", err)
	}
}

func TestEveryFolderHasAName(t *testing.T) {
	t.Parallel()
	s := stage{dest: "7", contracts: "8"}
	for id, want := range map[portalsim.ID]string{"7": `"Acme - Internal"`, "8": `"Legal - Contracts"`, "9": "folder 9"} {
		if got := s.nameOf(id); got != want {
			t.Errorf("folder %s is called %s, want %s", id, got, want)
		}
	}
}

// watched does something once when the demo says something.
type watched struct {
	when string
	then func()

	mu   sync.Mutex
	text strings.Builder
	seen bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if !w.seen && strings.Contains(w.text.String(), w.when) {
		w.seen = true
		w.then()
	}
	return len(p), nil
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	return text
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Error(err)
	}
}
