package routing

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// lookup is what the portal may be asked for, as metrics name it.
type lookup struct {
	portal string
	of     string // "self", "path", "room", "file", "folder", "person" or "subfolders"
}

// Where an answer came from.
const (
	fromPortal = "portal" // it was asked
	fromCache  = "cache"
	fromOther  = "shared" // another event was asking the same already
)

// lookupMetrics counts what rules cost in look-ups, and what the caches spare.
type lookupMetrics struct{ lookups *prometheus.CounterVec }

func newLookupMetrics(reg prometheus.Registerer) *lookupMetrics {
	return &lookupMetrics{promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "docspace_router_lookups_total",
		Help: "Questions about events that the delivery did not answer, by what was asked for and where the answer came from.",
	}, []string{"portal", "of", "from"})}
}

func (m *lookupMetrics) count(about lookup, from string) {
	m.lookups.WithLabelValues(about.portal, about.of, from).Inc()
}
