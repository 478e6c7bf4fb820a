package ui

import (
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"

	"docspace-router/internal/event"
)

// functions are what templates write values with.
func (u *UI) functions() template.FuncMap {
	return template.FuncMap{
		"ago":      func(t time.Time) string { return ago(u.now(), t) },
		"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"clock":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" },
		"count":    count[int64],
		"num":      count[int],
		"name":     u.o.Names.Of,
		"short":    func(hash string) string { return hash[:min(12, len(hash))] },
		"first":    firstLine,
		"asset":    func(file string) string { return "/assets/" + file + "?" + url.QueryEscape(u.o.Version) },
		"plural":   plural,
		"link":     u.o.Link,
		"dict":     dict,
		"id":       func(s string) event.ID { return event.ID(s) },
		"portal":   func() bool { return len(u.o.Portals()) > 1 },
		"duration": duration,
	}
}

// dict makes the data of a template that is called with several values.
func dict(pairs ...any) (map[string]any, error) {
	out := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("the name of value %d is no text", i/2)
		}
		out[key] = pairs[i+1]
	}
	return out, nil
}

// ago says how long ago something was, as coarsely as people would.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	if d < 0 {
		return "in " + duration(-d)
	}
	if d < time.Second {
		return "just now"
	}
	return duration(d) + " ago"
}

func duration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(1, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d%time.Hour == 0 && d == 24*time.Hour:
		return "1 day"
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// count writes a number with thin spaces between the thousands.
func count[N int | int64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteRune('\u202f')
		}
		b.WriteRune(d)
	}
	return b.String()
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
