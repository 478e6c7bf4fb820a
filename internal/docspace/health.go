package docspace

import (
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Health says whether a portal answers the gateway, as this process has found it.
type Health struct {
	Down   bool
	Since  time.Time // when it went down, or came back; zero: it was never down
	Reason string    // what last spoke against sending more, while it is down
}

// health follows the breaker. A try in between, which finds out whether the portal is back, changes
// nothing before it has succeeded.
type health struct {
	mu     sync.Mutex // guards now
	now    Health
	change func(Health) // told of every change; nil: nobody is
}

// turned notes a change of the breaker's state.
func (h *health) turned(to gobreaker.State, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	down := to != gobreaker.StateClosed
	if h.now.Down == down {
		return
	}
	h.now = Health{Down: down, Since: time.Now()}
	told := h.now
	told.Reason = reason
	if h.change != nil {
		h.change(told)
	}
}

// Health says whether the portal answers, as this process has found it.
func (c *Client) Health() Health {
	c.health.mu.Lock()
	now := c.health.now
	c.health.mu.Unlock()
	if now.Down {
		now.Reason = c.lastTrouble()
	}
	return now
}

// lastTrouble is what last spoke against sending more; empty when nothing did.
func (c *Client) lastTrouble() string {
	if last := c.trouble.Load(); last != nil {
		return *last
	}
	return ""
}
