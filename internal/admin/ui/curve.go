package ui

import "fmt"

// draw makes the curve of an edge and finds the place of its label, which lies on the curve a
// share t of the way along it.
func (e *mapEdge) draw(y1, y2 int, t float64) {
	const (
		x1   = nodeWidth
		x2   = mapWidth - nodeWidth - 7 // the head of the arrow
		bend = (x2 - x1) / 2
	)
	e.Path = fmt.Sprintf("M%d %d C%d %d %d %d %d %d", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2)
	s := 1 - t
	at := func(a, b, c, d int) int {
		return int(s*s*s*float64(a) + 3*s*s*t*float64(b) + 3*s*t*t*float64(c) + t*t*t*float64(d))
	}
	e.LabelX, e.LabelY = at(x1, x1+bend, x2-bend, x2), at(y1, y1, y2, y2)-4
}
