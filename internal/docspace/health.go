package docspace

import "github.com/sony/gobreaker/v2"

// Trouble says why nothing is sent to the portal at this moment, or "" when it answers. It asks
// nobody.
func (c *Client) Trouble() string {
	if c.breaker.State() == gobreaker.StateClosed {
		return ""
	}
	if last := c.trouble.Load(); last != nil {
		return *last
	}
	return "the portal does not answer"
}
