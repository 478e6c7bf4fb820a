package app

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAMessageIsNotRepeatedForAWhile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	h := withoutRepeats(slog.NewTextHandler(&out, nil), "portal")
	start := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	log := func(h slog.Handler, after time.Duration, level slog.Level, message string, attrs ...any) {
		t.Helper()
		r := slog.NewRecord(start.Add(after), level, message, 0)
		r.Add(attrs...)
		if err := h.Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	log(h, 0, slog.LevelError, "away")
	log(h.WithAttrs([]slog.Attr{slog.String("queue", "route")}), time.Second, slog.LevelError, "away")
	log(h.WithGroup("g"), 2*time.Second, slog.LevelError, "away")
	log(h, 3*time.Second, slog.LevelWarn, "away")
	log(h, 4*time.Second, slog.LevelError, "other")
	log(h, 5*time.Second, slog.LevelError, "away", "portal", "acme", "err", "one")
	log(h, 6*time.Second, slog.LevelError, "away", "portal", "acme", "err", "another")
	log(h, 7*time.Second, slog.LevelError, "away", "portal", "beta")
	log(h, 8*time.Second, slog.LevelInfo, "rare")
	log(h, 9*time.Second, slog.LevelInfo, "rare")
	log(h, repeatsEvery-1, slog.LevelError, "away")
	log(h, repeatsEvery, slog.LevelError, "away")
	log(h, repeatsEvery+1, slog.LevelError, "away")
	log(h, 3*repeatsEvery, slog.LevelError, "away")
	log(h, 5*repeatsEvery, slog.LevelError, "away")
	want := `time=2026-03-02T09:00:00.000Z level=ERROR msg=away
time=2026-03-02T09:00:03.000Z level=WARN msg=away
time=2026-03-02T09:00:04.000Z level=ERROR msg=other
time=2026-03-02T09:00:05.000Z level=ERROR msg=away portal=acme err=one
time=2026-03-02T09:00:07.000Z level=ERROR msg=away portal=beta
time=2026-03-02T09:00:08.000Z level=INFO msg=rare
time=2026-03-02T09:00:09.000Z level=INFO msg=rare
time=2026-03-02T09:00:30.000Z level=ERROR msg=away left_out=3
time=2026-03-02T09:01:30.000Z level=ERROR msg=away left_out=1
time=2026-03-02T09:02:30.000Z level=ERROR msg=away
`
	if out.String() != want {
		t.Errorf("logged\n%swant\n%s", out.String(), want)
	}
}

func TestWhatComesFromOutsideIsNotRememberedForEver(t *testing.T) {
	t.Parallel()
	h := withoutRepeats(slog.DiscardHandler, "reason")
	for i := range 3 * mostRepeats {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "refused", 0)
		r.Add("reason", i)
		if err := h.Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(h.seen.last); n > mostRepeats {
		t.Errorf("%d messages are remembered", n)
	}
}

func TestTheHTTPServersOwnLogIsOurs(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	server := newServer(http.NotFoundHandler(), slog.New(slog.NewJSONHandler(&out, nil)))
	server.ErrorLog.Printf("http: TLS handshake error from %s: EOF\n", "198.51.100.7:40112")
	server.ErrorLog.Printf("http: panic serving %s: %v\n%s", "198.51.100.7:40112", "a mistake", "goroutine 7 [running]:")
	server.ErrorLog.Printf("http2: panic serving %v: %v\n%s", "198.51.100.7:40112", "another", "goroutine 8 [running]:")
	server.ErrorLog.Printf("http: Accept error: %v; retrying in %v", "accept tcp [::]:8080: too many open files", 5*time.Millisecond)
	type line struct{ Level, Msg, Component, Reason, Panic, Err string }
	var got []line
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var l line
		if err := decoder.Decode(&l); err != nil {
			t.Fatal(err)
		}
		got = append(got, l)
	}
	want := []line{
		{"WARN", "HTTP server warning", "http", "http: TLS handshake error", "", "http: TLS handshake error from 198.51.100.7:40112: EOF"},
		{"ERROR", "request panicked", "http", "", "a mistake", "http: panic serving 198.51.100.7:40112: a mistake\ngoroutine 7 [running]:"},
		{"ERROR", "request panicked", "http", "", "another", "http2: panic serving 198.51.100.7:40112: another\ngoroutine 8 [running]:"},
		{"WARN", "HTTP server warning", "http", "http: Accept error: accept tcp [::]:8080: too many open files", "",
			"http: Accept error: accept tcp [::]:8080: too many open files; retrying in 5ms"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
