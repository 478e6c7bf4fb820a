package config

import (
	"encoding/hex"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics tells a monitor whether the rules in use are those in the file.
type metrics struct {
	successful  prometheus.Gauge
	successTime prometheus.Gauge
	hash        prometheus.Gauge
	reloads     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "docspace_router_config_last_reload_successful",
			Help: "Whether the latest attempt to load the rules file succeeded.",
		}),
		successTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "docspace_router_config_last_reload_success_timestamp_seconds",
			Help: "When the rules file was last loaded with success.",
		}),
		hash: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "docspace_router_config_hash",
			Help: "The first 48 bits of the hash of the rules in use, to compare replicas.",
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_config_reloads_total",
			Help: "Attempts to reload the rules file, by result.",
		}, []string{"result"}),
	}
	for _, result := range []string{"success", "failure"} {
		m.reloads.WithLabelValues(result)
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.successful, m.successTime, m.hash, m.reloads} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) inUse(c *Config) {
	b, err := hex.DecodeString(c.Hash())
	if err != nil {
		return
	}
	// 48 bits fit a float without loss.
	var v uint64
	for _, x := range b[:6] {
		v = v<<8 | uint64(x)
	}
	m.hash.Set(float64(v))
}

// succeeded and failed note an attempt; the first load is no reload.
func (m *metrics) succeeded(at time.Time, reload bool) {
	m.successful.Set(1)
	m.successTime.Set(float64(at.UnixMilli()) / 1000)
	if reload {
		m.reloads.WithLabelValues("success").Inc()
	}
}

func (m *metrics) failed(reload bool) {
	m.successful.Set(0)
	if reload {
		m.reloads.WithLabelValues("failure").Inc()
	}
}
