package portalsim

import (
	"maps"
	"slices"
	"strings"
)

// Calls counts the API requests that reached the portal, rejected ones included.
type Calls struct {
	Total int
	// ByRoute counts per method and path pattern: "PUT /api/2.0/files/fileops/copy",
	// "GET /api/2.0/files/file/{id}".
	ByRoute map[string]int
	// Limited counts answers of 429 by the portal's own limits, not by injected faults.
	Limited int
	// Batches has the number of ids of every PUT files/fileops/copy and move, in order.
	Batches []int
	// The most requests that were under way at once.
	MaxParallelReads, MaxParallelWrites int

	reads, writes int // under way now
}

func newCalls() Calls { return Calls{ByRoute: map[string]int{}} }

// Count answers how often an operation was called; the pattern may leave the API's prefix
// out: Count("GET", "files/file/{id}").
func (c Calls) Count(method, pattern string) int {
	pattern = strings.TrimPrefix(strings.TrimPrefix(pattern, apiPrefix), "/")
	return c.ByRoute[method+" "+apiPrefix+pattern]
}

// Transfers counts the PUT requests to files/fileops/copy and move.
func (c Calls) Transfers() int {
	return c.Count("PUT", "files/fileops/copy") + c.Count("PUT", "files/fileops/move")
}

// enter counts a request; the returned function notes its end. Portal.mu guards both.
func (c *Calls) enter(method, pattern string, read bool) (leave func()) {
	c.Total++
	c.ByRoute[method+" "+pattern]++
	now, most := &c.writes, &c.MaxParallelWrites
	if read {
		now, most = &c.reads, &c.MaxParallelReads
	}
	*now++
	*most = max(*most, *now)
	return func() { *now-- }
}

// Calls answers the counters as they are now.
func (p *Portal) Calls() Calls {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.calls
	c.ByRoute = maps.Clone(c.ByRoute)
	c.Batches = slices.Clone(c.Batches)
	return c
}
