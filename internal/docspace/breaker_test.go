package docspace

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"
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
	if c.WaitFor() != pause || c.State() != "open" {
		t.Errorf("the breaker is %s and says to wait %v, want open and %v", c.State(), c.WaitFor(), pause)
	}
	if portal.writes.Load() != sent {
		t.Error("a write went through an open breaker")
	}

	// Half open, a read finds out first: no write is risked on a portal that is still down.
	halfOpen := func() {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for c.State() == "open" {
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
	if err := write(ctx, c); err != nil {
		t.Errorf("the portal is back, but a write gave %v", err)
	}
	if c.State() != "closed" || c.WaitFor() != 0 {
		t.Errorf("after a success the breaker is %s", c.State())
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
	server := answering(t, http.StatusForbidden, `{"error":{"message":"Access denied"},"status":1,"statusCode":403}`)
	c, _ := newClient(t, server.URL)
	for range 3 * breakerFailures {
		if err := write(t.Context(), c); !IsForbidden(err) {
			t.Fatalf("a write gave %v", err)
		}
	}
}
