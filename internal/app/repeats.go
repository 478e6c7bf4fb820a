package app

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// repeatsEvery is how often a message that comes over and over is logged.
const repeatsEvery = 30 * time.Second

// mostRepeats is how many messages are remembered. What tells them apart may come from outside.
const mostRepeats = 1000

// repeats logs a warning or an error again only after repeatsEvery, with how many it has left out
// since. While the database is away, every queue says so several times a second, and anybody may
// send deliveries or ask whether the gateway is ready. What is less than a warning passes.
type repeats struct {
	slog.Handler
	by   []string
	seen *seen // shared with what WithAttrs and WithGroup make
}

type seen struct {
	mu   sync.Mutex // guards last
	last map[string]*occurrence
}

type occurrence struct {
	logged  time.Time
	leftOut int
}

// withoutRepeats makes a handler of records that may come often. Equal are those of one message and
// level that have equal attributes of the given names. The others do not count: an outage looks a
// little different from each queue.
func withoutRepeats(h slog.Handler, by ...string) repeats {
	return repeats{h, by, &seen{last: map[string]*occurrence{}}}
}

// Handle implements slog.Handler.
func (h repeats) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, r)
	}
	key := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		if slices.Contains(h.by, a.Key) {
			key += " " + a.String()
		}
		return true
	})
	leftOut, log := h.seen.note(key, r.Time)
	if !log {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return h.Handler.Handle(ctx, r)
}

func (s *seen) note(key string, at time.Time) (leftOut int, log bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.last[key]
	switch {
	case o == nil:
		if len(s.last) >= mostRepeats {
			clear(s.last)
		}
		s.last[key] = &occurrence{logged: at}
		return 0, true
	case at.Sub(o.logged) < repeatsEvery:
		o.leftOut++
		return 0, false
	}
	leftOut = o.leftOut
	*o = occurrence{logged: at}
	return leftOut, true
}

// WithAttrs implements slog.Handler.
func (h repeats) WithAttrs(attrs []slog.Attr) slog.Handler {
	return repeats{h.Handler.WithAttrs(attrs), h.by, h.seen}
}

// WithGroup implements slog.Handler.
func (h repeats) WithGroup(name string) slog.Handler {
	return repeats{h.Handler.WithGroup(name), h.by, h.seen}
}
