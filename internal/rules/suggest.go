package rules

import (
	"strings"

	"github.com/agext/levenshtein"
)

// Nearest returns the one of known that name was most likely meant to be, or "" when none is
// near.
func Nearest(name string, known []string) string {
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "") }
	want := plain(name)
	if want == "" {
		return ""
	}
	best, bestDistance := "", max(1, (len(want)+1)/3)
	for _, k := range known {
		d := levenshtein.Distance(want, plain(k), nil)
		// An abbreviation is far from its word by distance and still plainly meant.
		if len(want) >= 3 && strings.HasPrefix(plain(k), want) {
			d = min(d, 1)
		}
		if isSwap(want, plain(k)) {
			d = 1
		}
		if d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = k, d
		}
	}
	return best
}

// isSwap reports whether two neighbouring letters changed places, the most common slip there
// is; as two edits it would be out of reach for short words.
func isSwap(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
