package ui

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"docspace-router/internal/store"
)

const (
	flowMinutes = 60
	flowEvery   = 2 * time.Second // how often the present is counted anew
	// openMinutes is for how long a minute is still counted: transactions that were open when it
	// ended belong to it. What happens to a transfer later, such as a retry, does not change what
	// is kept of the minute it failed in.
	openMinutes = 2
	// keepEvery is how often the minutes are counted that nobody looks at, so that nobody who does
	// waits for a whole hour's.
	keepEvery = 10 * time.Minute
)

// flow knows what happened in each of the last minutes, and asks the database for the newest
// ones only.
type flow struct {
	mu     sync.Mutex // guards the fields below; held while one asks for all
	closed []store.Minute
	all    []store.Minute
	until  time.Time
}

type counter func(ctx context.Context, from, to time.Time) ([]store.Minute, error)

func (f *flow) get(ctx context.Context, now time.Time, ask counter) ([]store.Minute, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Before(f.until) {
		return f.all, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	end := now.Truncate(time.Minute).Add(time.Minute)
	start := end.Add(-flowMinutes * time.Minute)
	for len(f.closed) > 0 && f.closed[0].At.Before(start) {
		f.closed = f.closed[1:]
	}
	from := start
	if n := len(f.closed); n > 0 {
		from = f.closed[n-1].At.Add(time.Minute)
	}
	fresh, err := ask(ctx, from, end)
	if err != nil {
		return nil, err
	}
	f.all = append(append([]store.Minute(nil), f.closed...), fresh...)
	f.closed = append([]store.Minute(nil), f.all[:max(len(f.all)-openMinutes, 0)]...)
	f.until = now.Add(flowEvery)
	return f.all, nil
}

// keepFlow counts what happened before somebody asks, from the start on.
func (u *UI) keepFlow(ctx context.Context) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		// Unlike a page's, this question is dropped when the gateway stops.
		_, err := u.flow.get(ctx, u.now(), func(_ context.Context, from, to time.Time) ([]store.Minute, error) {
			return u.o.Store.Flow(ctx, from, to)
		})
		if err != nil && ctx.Err() == nil {
			u.log.Warn("the last hour is not counted", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// chart is the flow as a drawing.
type chart struct {
	Width, Height int
	Lines         []chartLine
	Grid          []chartMark // from the bottom up
	Times         []chartMark
	Rows          []store.Minute // the same in steps of five minutes, newest first
	Summary       string
}

type chartLine struct {
	Class, Name string
	Parts       []string // the points of where it is above zero, and next to it
	Total       int64
}

type chartMark struct {
	At   int
	Text string
}

const (
	chartWidth  = 720
	chartHeight = 150
	chartLeft   = 44
	chartBottom = 28
	chartTop    = 8
)

func newChart(minutes []store.Minute) chart {
	c := chart{Width: chartWidth, Height: chartHeight}
	series := []struct {
		class, one, many string
		of               func(store.Minute) int64
	}{
		{"accepted", "event accepted", "events accepted", func(m store.Minute) int64 { return m.Accepted }},
		{"routed", "transfer routed", "transfers routed", func(m store.Minute) int64 { return m.Routed }},
		{"done", "transfer done", "transfers done", func(m store.Minute) int64 { return m.Done }},
		{"failed", "transfer failed", "transfers failed", func(m store.Minute) int64 { return m.Failed }},
	}
	most := int64(1)
	for _, s := range series {
		for _, m := range minutes {
			most = max(most, s.of(m))
		}
	}
	top := niceAbove(most)
	x := func(i int) int {
		return chartLeft + i*(chartWidth-chartLeft-4)/max(1, len(minutes)-1)
	}
	y := func(v int64) int {
		room := int64(chartHeight - chartBottom - chartTop)
		return chartHeight - chartBottom - int(v*room/top)
	}
	var told []string
	for _, s := range series {
		line := chartLine{Class: s.class, Name: s.many}
		var points []string
		for i, m := range minutes {
			line.Total += s.of(m)
			// A line of zeros would lie over the others'.
			if s.of(m) > 0 || i > 0 && s.of(minutes[i-1]) > 0 || i+1 < len(minutes) && s.of(minutes[i+1]) > 0 {
				points = append(points, fmt.Sprintf("%d,%d", x(i), y(s.of(m))))
			} else if len(points) > 0 {
				line.Parts, points = append(line.Parts, strings.Join(points, " ")), nil
			}
		}
		if len(points) > 0 {
			line.Parts = append(line.Parts, strings.Join(points, " "))
		}
		if line.Total == 1 {
			line.Name = s.one
		}
		c.Lines = append(c.Lines, line)
		told = append(told, fmt.Sprintf("%s %s", count(line.Total), line.Name))
	}
	c.Summary = "In the last hour: " + strings.Join(told, ", ") + "."
	for _, v := range []int64{0, top / 2, top} {
		if v > 0 || len(c.Grid) == 0 {
			c.Grid = append(c.Grid, chartMark{y(v), count(v)})
		}
	}
	for i, m := range minutes {
		if m.At.Minute()%15 == 0 && x(i) > chartLeft+30 { // clear of the axis
			c.Times = append(c.Times, chartMark{x(i), m.At.Format("15:04")})
		}
	}
	for end := len(minutes); end > 0; end -= 5 {
		row := store.Minute{}
		for _, m := range minutes[max(0, end-5):end] {
			if row.At.IsZero() {
				row.At = m.At
			}
			row.Accepted, row.Routed, row.Done, row.Failed = row.Accepted+m.Accepted, row.Routed+m.Routed, row.Done+m.Done, row.Failed+m.Failed
		}
		c.Rows = append(c.Rows, row)
	}
	return c
}

// niceAbove is a round number that is not below n, and even, so that its half is one too.
func niceAbove(n int64) int64 {
	for base := int64(1); ; base *= 10 {
		for _, step := range []int64{2, 4, 6, 10} {
			if step*base >= n {
				return step * base
			}
		}
	}
}
