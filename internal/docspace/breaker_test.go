package docspace

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"docspace-router/internal/guard"
)

// moody is a portal that is up or down as told, and counts what reaches it.
type moody struct {
	down          atomic.Bool
	reads, writes atomic.Int64
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		m.reads.Add(1)
	} else {
		m.writes.Add(1)
	}
	switch {
	case m.down.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.Method == http.MethodGet:
		found(w)
	default:
		_, _ = w.Write([]byte(envelopeOf(`[{"id":"op","Operation":1}]`)))
	}
}

func TestBreakerStopsAskingAPortalThatIsDown(t *testing.T) {
	t.Parallel()
	portal := &moody{}
	portal.down.Store(true)
	server := startPortal(t, portal.ServeHTTP)
	const pause = 100 * time.Millisecond
	c, _ := newClient(t, server.URL, func(o *Options) { o.Pause = pause })
	ctx := t.Context()

	for range breakerFailures {
		if err := write(ctx, c); !IsPortalDown(err) {
			t.Fatalf("a write to a portal that is down: %v", err)
		}
	}
	sent := portal.writes.Load()
	err := write(ctx, c)
	if !errors.Is(err, gobreaker.ErrOpenState) || !IsPortalDown(err) || Uncertain(err) {
		t.Errorf("with the breaker open a write gave %v; want the portal down and nothing uncertain", err)
	}
	if wait, ready := c.Ready(ctx); ready || wait != pause {
		t.Errorf("with the breaker open the client is ready: %v, or after %v; want %v", ready, wait, pause)
	}
	if portal.writes.Load() != sent {
		t.Error("a write went through an open breaker")
	}

	// Half open, a read finds out first: no write is risked on a portal that is still down.
	halfOpen := func() {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for c.breaker.State() == gobreaker.StateOpen {
			if time.Now().After(deadline) {
				t.Fatal("the breaker stays open")
			}
			<-time.After(pause / 10)
		}
	}
	halfOpen()
	if err := write(ctx, c); !IsPortalDown(err) {
		t.Errorf("half open and still down, a write gave %v", err)
	}
	if portal.writes.Load() != sent {
		t.Error("a write was sent to find out whether the portal is back")
	}

	portal.down.Store(false)
	halfOpen()
	if _, ready := c.Ready(ctx); !ready {
		t.Error("the portal is back, but the client is not ready")
	}
	if portal.writes.Load() != sent {
		t.Error("a write was sent to find out whether the portal is back")
	}
	if err := write(ctx, c); err != nil {
		t.Errorf("the portal is back, but a write gave %v", err)
	}
}

// mistaken is a transport that panics when it is told to.
type mistaken struct {
	http.RoundTripper
	due atomic.Bool
}

func (m *mistaken) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.due.Load() {
		panic("a mistake")
	}
	return m.RoundTripper.RoundTrip(r)
}

// TestBreakerOutlivesAPanic has the request panic that finds out whether the portal is back: with no
// outcome of it, no other would ever be let through.
func TestBreakerOutlivesAPanic(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(context.Context, *Client) error{"read": read, "probe of a write": write} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			portal := &moody{}
			portal.down.Store(true)
			server := startPortal(t, portal.ServeHTTP)
			transport := &mistaken{RoundTripper: http.DefaultTransport}
			c, _ := newClient(t, server.URL, func(o *Options) { o.Pause, o.Transport = time.Millisecond, transport })
			for range breakerFailures {
				if err := write(t.Context(), c); !IsPortalDown(err) {
					t.Fatalf("a write to a portal that is down: %v", err)
				}
			}
			portal.down.Store(false)
			for c.breaker.State() == gobreaker.StateOpen {
				<-time.After(time.Millisecond)
			}
			transport.due.Store(true)
			// What a write has done is for those who sent it to find out, so the panic is theirs.
			if err := guard.Call(func() error { return call(t.Context(), c) }); err == nil || !strings.Contains(err.Error(), "panic: a mistake") {
				t.Fatalf("error %v, want the panic", err)
			}
			if c.breaker.State() != gobreaker.StateHalfOpen {
				t.Errorf("the breaker is %s: a mistake of ours says nothing about the portal", c.breaker.State())
			}
			transport.due.Store(false)
			if err := call(t.Context(), c); err != nil {
				t.Errorf("after the panic nothing gets through: %v", err)
			}
		})
	}
}

func TestBreakerLetsResultsBeRead(t *testing.T) {
	t.Parallel()
	portal := &moody{}
	portal.down.Store(true)
	server := startPortal(t, portal.ServeHTTP)
	c, _ := newClient(t, server.URL, func(o *Options) { o.Pause = time.Hour })
	for range breakerFailures {
		_ = write(t.Context(), c)
	}
	before := portal.reads.Load()
	_, _ = c.Operation(t.Context(), "op")
	if portal.reads.Load() == before {
		t.Error("an operation's result was not asked for while the breaker was open")
	}
}

func TestRefusalsDoNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no right":      `{"error":{"message":"Access denied"},"status":1,"statusCode":403}`,
		"missing scope": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := answering(t, http.StatusForbidden, body)
			c, _ := newClient(t, server.URL)
			for range 3 * breakerFailures {
				_ = write(t.Context(), c)
			}
			if _, ready := c.Ready(t.Context()); !ready {
				t.Error("refusals opened the breaker")
			}
		})
	}
}

func TestClockOffsetIsReadFromAnswers(t *testing.T) {
	t.Parallel()
	const ahead = 90 * time.Second
	server := startPortal(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		found(w)
	})
	c, _ := newClient(t, server.URL)
	if c.ClockOffset() != 0 {
		t.Errorf("before any answer the offset is %v", c.ClockOffset())
	}
	if err := read(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if off := c.ClockOffset() - ahead; off.Abs() > 5*time.Second {
		t.Errorf("the offset is %v, want about %v", c.ClockOffset(), ahead)
	}
}

func TestClockAsksOnceWhenItIsNotKnown(t *testing.T) {
	t.Parallel()
	const ahead = -3 * time.Minute
	var asked atomic.Int32
	server := startPortal(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		found(w)
	})
	c, _ := newClient(t, server.URL)
	for range 3 {
		got, err := c.Clock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if off := got - ahead; off.Abs() > 5*time.Second {
			t.Errorf("the portal's clock is %v ahead, want about %v", got, ahead)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the portal was asked %d times, want once", n)
	}
}
