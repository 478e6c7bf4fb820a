package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"docspace-router/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func buildGateway(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the gateway and runs it")
	}
	binary := filepath.Join(t.TempDir(), "docspace-router")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", binary, "docspace-router/cmd/docspace-router").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// TestARoundOnEachDatabase plays a round that is known to go well, with kills and no fault that
// the gateway could not get over.
func TestARoundOnEachDatabase(t *testing.T) {
	t.Parallel()
	binary := buildGateway(t)
	for _, database := range []string{"sqlite", "postgres"} {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			if database == "postgres" {
				s, err := pgtest.Start(t.Context())
				if errors.Is(err, pgtest.ErrNotInstalled) {
					t.Skip(err)
				}
				if err == nil {
					err = s.Stop(context.Background())
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			dir := t.TempDir()
			var out, errs bytes.Buffer
			code := run(t.Context(), []string{
				"-rounds", "1", "-seed", "9", "-binary", binary, "-dir", dir, "-database", database, "-patience", (3 * time.Minute).String(),
			}, &out, &errs)
			if code != 0 {
				t.Fatalf("exit status %d\n%s%s", code, out.String(), errs.String())
			}
			for _, want := range []string{"seed 9: ok", "lost                             0", "without outcome                  0"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the output lacks %q:\n%s", want, out.String())
				}
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
				t.Errorf("a round that went well left %q (%v)", left, err)
			}
		})
	}
}

// TestAFailedRoundIsKept lets a gateway that does nothing at all play.
func TestAFailedRoundIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binary := filepath.Join(dir, "idle")
	script := "#!/bin/sh\necho '{\"msg\":\"gateway started\",\"listen\":\"127.0.0.1:1\",\"admin_listen\":\"127.0.0.1:1\"}' >&2\nexec sleep 60\n"
	if err := os.WriteFile(binary, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"-rounds", "1", "-seed", "3", "-binary", binary, "-dir", filepath.Join(dir, "rounds"), "-patience", "100ms"}, &out, &errs)
	if code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	for _, want := range []string{"seed 3: FAILED", "make chaos ROUNDS=1 SEED=3", "rounds not judged"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s%s", want, out.String(), errs.String())
		}
	}
	for _, name := range []string{"rules.yaml", "round.log", "gateway-1-01.log"} {
		if _, err := os.Stat(filepath.Join(dir, "rounds", "seed-3", name)); err != nil {
			t.Error(err)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-rounds", "0"}, {"-database", "mysql"}, {"-replicas", "2"}, {"surplus"}, {"-nonsense"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("chaos %q: exit status %d, %q; want 2 and a reason", args, code, errs.String())
		}
	}
}
