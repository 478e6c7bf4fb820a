package app_test

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"docspace-router/internal/portalsim"
)

// TestBackupAndRestoreAsDocumented follows docs/operations.md word for word: the backup while the
// gateway runs, and the restore after the database was lost.
func TestBackupAndRestoreAsDocumented(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(raw), "\n## Backup and restore\n")
	sqlite, postgres, _ := strings.Cut(text, "\n### PostgreSQL\n")
	section := sqlite
	if server != nil {
		section = postgres
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, 2)
	if len(blocks) != 2 {
		t.Fatalf("%d commands are documented, want one to back up and one to restore", len(blocks))
	}
	backup, restore := blocks[0][1], blocks[1][1]

	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	w.portal.Upload(w.room, "before.pdf", 1, w.client)
	w.wantTitles(w.dest, "before.pdf")
	if server == nil {
		// As sqlite3 does it, which not every machine has.
		m := regexp.MustCompile(`^sqlite3 (\S+) "(.*)"\n$`).FindStringSubmatch(backup)
		if m == nil {
			t.Fatalf("unlike what is known of sqlite3: %s", backup)
		}
		other, err := sql.Open("sqlite", filepath.Join(w.dir, m[1]))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		if _, err := other.ExecContext(t.Context(), strings.ReplaceAll(m[2], "backup.db", filepath.Join(w.dir, "backup.db"))); err != nil {
			t.Fatal(err)
		}
	} else {
		w.shell(backup)
	}
	w.portal.Upload(w.room, "after.pdf", 1, w.client)
	w.wantTitles(w.dest, "before.pdf", "after.pdf")
	w.options.Listen = w.gateway.Addr()
	w.halt()

	if server == nil {
		if err := os.WriteFile(filepath.Join(w.dir, "router.db"), []byte("a disk's last words"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.shell(restore)
	w.run()
	if got := w.transfers(""); len(got) != 1 || got[0].Title != "before.pdf" || got[0].State != "done" {
		t.Errorf("the restored database has %+v, want what there was at the backup", got)
	}
	w.portal.Upload(w.room, "later.pdf", 1, w.client)
	w.wantTitles(w.dest, "before.pdf", "after.pdf", "later.pdf")
}

// shell runs documented commands where the database is.
func (w *world) shell(commands string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "sh", "-e", "-c", commands)
	cmd.Dir = w.dir
	cmd.Env = append(cmd.Environ(), "ROUTER_DATABASE="+w.options.Database)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%s\n%v\n%s", commands, err, out)
	}
}
