package catchup

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	events   *prometheus.CounterVec
	unsigned *prometheus.CounterVec
	readable *prometheus.GaugeVec
	success  *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		events: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_catch_up_events_total",
			Help: "Events taken in from the portal's webhook log.",
		}, []string{"portal"}),
		unsigned: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_catch_up_foreign_signatures_total",
			Help: "Of these, those whose logged signature none of the secrets in use made.",
		}, []string{"portal"}),
		readable: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "docspace_router_catch_up_log_readable",
			Help: "1 when the last look into the portal's webhook log came to its end, 0 when it did not, such as for lack of a permission.",
		}, []string{"portal"}),
		success: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "docspace_router_catch_up_last_success_timestamp_seconds",
			Help: "When the portal's webhook log was last read to the end.",
		}, []string{"portal"}),
	}
}

func (m *metrics) ended(portal string, at time.Time, err error) {
	// Series that begin at zero show the first event that is taken in as an increase.
	m.events.WithLabelValues(portal)
	m.unsigned.WithLabelValues(portal)
	if err != nil {
		m.readable.WithLabelValues(portal).Set(0)
		return
	}
	m.readable.WithLabelValues(portal).Set(1)
	m.success.WithLabelValues(portal).Set(float64(at.Unix()))
}
