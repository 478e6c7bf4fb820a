package routing

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
	"docspace-router/internal/store"
)

// Why an event was ignored, as metrics name it.
const (
	whyNoRule   = "no_rule"   // no rule is about its trigger
	whyNoMatch  = "no_match"  // no rule matched
	whyOwn      = "own_event" // the gateway itself caused it
	whyInPlace  = "nothing_to_do"
	whyNoAccess = "no_access" // the gateway's account may not read its room
)

// metrics counts what routing makes of events.
type metrics struct {
	decided *prometheus.CounterVec
	ignored *prometheus.CounterVec
	matched *prometheus.CounterVec
	loops   *prometheus.CounterVec

	mu    sync.Mutex // guards rules
	rules map[string]bool
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		decided: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_events_decided_total",
			Help: "Events by portal and what routing made of them; pending counts tries that must be repeated.",
		}, []string{"portal", "state"}),
		ignored: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_events_ignored_total",
			Help: "Events that caused no transfer, by portal and reason: no_rule, no_match, own_event, nothing_to_do or no_access.",
		}, []string{"portal", "reason"}),
		matched: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_rule_matches_total",
			Help: "Events that a rule matched, by portal and rule; those of a rule that leaves the rules file go with it.",
		}, []string{"portal", "rule"}),
		loops: f.NewCounterVec(prometheus.CounterOpts{
			Name: "docspace_router_loops_stopped_total",
			Help: "Times a rule was kept from handing on the gateway's own work in a circle.",
		}, []string{"portal", "rule"}),
		rules: map[string]bool{},
	}
}

// count counts one decision.
func (m *metrics) count(portal string, d store.Decision) {
	m.decided.WithLabelValues(portal, string(d.State)).Inc()
	if d.State == event.EventIgnored {
		m.ignored.WithLabelValues(portal, d.Why).Inc()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range d.Transfers {
		m.rules[t.Rule] = true
		m.matched.WithLabelValues(portal, t.Rule).Inc()
	}
}

// loop counts a loop that was stopped.
func (m *metrics) loop(portal, rule string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rules[rule] = true
	m.loops.WithLabelValues(portal, rule).Inc()
}

// keep drops the series of rules that a version of the rules does not have, and begins those of
// its rules at 0: Prometheus sees no increase in a series that begins with its first 1.
func (m *metrics) keep(t *rules.Table) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := map[string]bool{}
	for _, r := range t.Rules() {
		now[r.Name], m.rules[r.Name] = true, true
		for _, portal := range r.Portals {
			m.decided.WithLabelValues(portal, string(event.EventFailed))
			m.matched.WithLabelValues(portal, r.Name)
			m.loops.WithLabelValues(portal, r.Name)
		}
	}
	for rule := range m.rules {
		if !now[rule] {
			delete(m.rules, rule)
			m.matched.DeletePartialMatch(prometheus.Labels{"rule": rule})
			m.loops.DeletePartialMatch(prometheus.Labels{"rule": rule})
		}
	}
}

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
