package app

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// repeatsEvery is how often a message that comes over and over is logged.
const repeatsEvery = 30 * time.Second

// repeats logs a message again only after repeatsEvery, with how many it has left out since.
// While the database is away, every queue says so several times a second, and anybody may ask
// whether the gateway is ready.
type repeats struct {
	slog.Handler
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

func withoutRepeats(h slog.Handler) repeats {
	return repeats{h, &seen{last: map[string]*occurrence{}}}
}

// Handle implements slog.Handler. Equal are records of one message and level, whatever their
// attributes: an outage looks a little different from each queue.
func (h repeats) Handle(ctx context.Context, r slog.Record) error {
	leftOut, log := h.seen.note(r.Level.String()+" "+r.Message, r.Time)
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
	return repeats{h.Handler.WithAttrs(attrs), h.seen}
}

// WithGroup implements slog.Handler.
func (h repeats) WithGroup(name string) slog.Handler {
	return repeats{h.Handler.WithGroup(name), h.seen}
}
