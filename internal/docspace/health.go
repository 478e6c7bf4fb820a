package docspace

import (
	"net/http"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Health says whether a portal answers the gateway, as this process has found it.
type Health struct {
	Down   bool
	Since  time.Time // when it went down, or came back; zero: it was never down
	Reason string    // what last spoke against sending more, while it is down
	// Refused says that the portal does answer, and refuses the gateway until a person has looked.
	Refused bool
}

// trouble is what last spoke against sending more.
type trouble struct {
	text    string
	refused bool
}

// newTrouble says what to do about an error, where a person has to.
func newTrouble(err error) *trouble {
	t := &trouble{text: err.Error(), refused: IsCredentials(err)}
	if e, ok := status(err); ok && t.refused {
		switch e.StatusCode {
		case http.StatusUnauthorized:
			t.text += ": the API key is unknown, expired or switched off, or its account is; give the gateway another one"
		case http.StatusPaymentRequired:
			t.text += ": the portal is not paid for"
		case http.StatusNotFound:
			t.text += ": the portal is suspended, or its API is not at this address"
		}
	}
	return t
}

// health follows the breaker. A try in between, which finds out whether the portal is back, changes
// nothing before it has succeeded.
type health struct {
	mu     sync.Mutex // guards now
	now    Health
	change func(Health) // told of every change; nil: nobody is
}

// turned notes a change of the breaker's state.
func (h *health) turned(to gobreaker.State, last trouble) {
	h.mu.Lock()
	defer h.mu.Unlock()
	down := to != gobreaker.StateClosed
	if h.now.Down == down {
		return
	}
	h.now = Health{Down: down, Since: time.Now()}
	told := h.now
	if down {
		told.Reason, told.Refused = last.text, last.refused
	}
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
		last := c.lastTrouble()
		now.Reason, now.Refused = last.text, last.refused
	}
	return now
}

// lastTrouble is what last spoke against sending more; empty when nothing did.
func (c *Client) lastTrouble() trouble {
	if last := c.trouble.Load(); last != nil {
		return *last
	}
	return trouble{}
}
