package browsertest

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// page reads a page as somebody without scripts does.
func (o *office) page(path string) string {
	o.t.Helper()
	resp, err := http.Get(o.url + path)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		o.t.Fatalf("GET %s: %s %v\n%s", path, resp.Status, err, raw)
	}
	return string(raw)
}

// eventually reads a page again and again until it holds a part.
func (o *office) eventually(path, part string) string {
	o.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		text := o.page(path)
		if strings.Contains(text, part) {
			return text
		}
		select {
		case <-deadline.C:
			o.t.Fatalf("GET %s: not within %s: %s\n%s", path, patience, part, text)
		case <-tick.C:
		}
	}
}

func TestPagesCanBeReadWithoutScripts(t *testing.T) {
	t.Parallel()
	o := open(t)
	o.fill()
	o.eventually("/transfers?state=done", "Dry dock 2.jpg")
	o.eventually("/transfers?state=failed", "Tender offer.pdf")
	transfer, event := o.link("/transfers?state=failed", "Tender offer.pdf"), o.link("/events", "Tender offer.pdf")
	id := strings.TrimPrefix(event, "/events/")
	for path, part := range map[string]string{
		"/":                       "Tender offer.pdf",
		"/transfers":              "bramley-documents",
		"/transfers?state=done":   "Payroll March.xlsx",
		"/transfers?q=payroll":    "Payroll March.xlsx",
		transfer:                  "The storage quota is exceeded",
		"/events":                 "setup.exe",
		event:                     "fileEntryType",
		event + "?why=1":          "1 rule matches",
		"/rules":                  "Signed contracts leave the shared room",
		"/playground?event=" + id: "1 rule matches",
		"/rules-file":             "No earlier version is known",
	} {
		if text := o.page(path); !strings.Contains(text, part) {
			t.Errorf("GET %s lacks %q:\n%s", path, part, text)
		}
	}
}

// link is where the entry of a list with a text leads.
func (o *office) link(path, text string) string {
	o.t.Helper()
	page := o.page(path)
	found := regexp.MustCompile(`href="([^"]+)">` + regexp.QuoteMeta(text) + `<`).FindStringSubmatch(page)
	if found == nil {
		o.t.Fatalf("GET %s: no link %q:\n%s", path, text, page)
	}
	return found[1]
}
