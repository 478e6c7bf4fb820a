package rules

import "slices"

// Triggers lists the triggers that enabled rules of the portal are about, sorted: those its
// webhook must subscribe to.
func (t *Table) Triggers(portal string) []string {
	var out []string
	for at := range t.buckets {
		if at.portal == portal {
			out = append(out, at.trigger)
		}
	}
	slices.Sort(out)
	return out
}
