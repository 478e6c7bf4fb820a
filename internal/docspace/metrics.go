package docspace

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics counts and times the requests of all portals' clients.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// NewMetrics registers the client's metrics; a second call with the same registerer panics,
// as all clients are meant to share one Metrics. A nil registerer keeps them unregistered.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	auto := promauto.With(reg)
	return &Metrics{
		requests: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_portal_requests_total",
			Help: "Requests sent to a portal, repeated reads each, by call and by HTTP status, \"unanswered\" or \"garbled\".",
		}, []string{"portal", "call", "code"}),
		duration: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "docspace_router_portal_request_duration_seconds",
			Help:    "Time from sending a request to a portal to the end of its answer, without the wait for the portal's limits.",
			Buckets: []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"portal", "call"}),
	}
}

// observe does nothing on nil Metrics.
func (m *Metrics) observe(portal, call, code string, took time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(portal, call, code).Inc()
	m.duration.WithLabelValues(portal, call).Observe(took.Seconds())
}

// codeOf keeps the label bounded whatever a server sends as a status.
func codeOf(status int) string {
	if status < 100 || status > 599 {
		return "other"
	}
	return strconv.Itoa(status)
}
