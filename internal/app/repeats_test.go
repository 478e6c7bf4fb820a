package app

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"
)

func TestAMessageIsNotRepeatedForAWhile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	h := withoutRepeats(slog.NewTextHandler(&out, nil))
	start := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	log := func(h slog.Handler, after time.Duration, level slog.Level, message string) {
		t.Helper()
		if err := h.Handle(context.Background(), slog.NewRecord(start.Add(after), level, message, 0)); err != nil {
			t.Fatal(err)
		}
	}
	log(h, 0, slog.LevelError, "away")
	log(h.WithAttrs([]slog.Attr{slog.String("queue", "route")}), time.Second, slog.LevelError, "away")
	log(h.WithGroup("g"), 2*time.Second, slog.LevelError, "away")
	log(h, 3*time.Second, slog.LevelWarn, "away")
	log(h, 4*time.Second, slog.LevelError, "other")
	log(h, repeatsEvery-1, slog.LevelError, "away")
	log(h, repeatsEvery, slog.LevelError, "away")
	log(h, repeatsEvery+1, slog.LevelError, "away")
	log(h, 3*repeatsEvery, slog.LevelError, "away")
	log(h, 5*repeatsEvery, slog.LevelError, "away")
	want := `time=2026-03-02T09:00:00.000Z level=ERROR msg=away
time=2026-03-02T09:00:03.000Z level=WARN msg=away
time=2026-03-02T09:00:04.000Z level=ERROR msg=other
time=2026-03-02T09:00:30.000Z level=ERROR msg=away left_out=3
time=2026-03-02T09:01:30.000Z level=ERROR msg=away left_out=1
time=2026-03-02T09:02:30.000Z level=ERROR msg=away
`
	if out.String() != want {
		t.Errorf("logged\n%swant\n%s", out.String(), want)
	}
}
