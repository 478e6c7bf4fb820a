package guard_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"docspace-router/internal/guard"
)

func outOfRange(list []int) int { return list[len(list)+2] }

func TestCallMakesAnErrorOfAPanic(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		f    func() error
		want string
	}{
		{"none", func() error { return nil }, ""},
		{"an error", func() error { return io.EOF }, "EOF"},
		{"the runtime's", func() error { outOfRange(nil); return nil }, "panic: runtime error: index out of range [2] with length 0, in docspace-router/internal/guard_test.outOfRange (guard_test.go:"},
		{"somebody's", func() error { panic("no such thing") }, "panic: no such thing, in docspace-router/internal/guard_test.TestCallMakesAnErrorOfAPanic.func"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := guard.Call(tt.f); err != nil {
				got = err.Error()
			}
			if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("error %q, want one that begins with %q", got, tt.want)
			}
		})
	}
}

func TestKeepBeginsAgainAfterAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		runs := 0
		err := guard.Keep(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), "sweep", func() error {
			if runs++; runs < 3 {
				panic("a mistake")
			}
			return io.EOF
		})
		if runs != 3 || !errors.Is(err, io.EOF) {
			t.Errorf("%d runs, error %v; want 3 and the last one's", runs, err)
		}
		if n := strings.Count(log.String(), "part=sweep"); n != 2 || !strings.Contains(log.String(), "panic: a mistake") {
			t.Errorf("it is not told of twice:\n%s", log.String())
		}
	})
}

func TestKeepEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	err := guard.Keep(ctx, slog.New(slog.DiscardHandler), "sweep", func() error { runs++; cancel(); panic("a mistake") })
	if err != nil || runs != 1 {
		t.Errorf("%d runs, error %v; want one and none", runs, err)
	}
}
