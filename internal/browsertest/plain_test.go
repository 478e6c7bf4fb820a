package browsertest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
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

// A rule that cannot say where leaves no transfer that could have failed.
func TestFailedEventsAreOnTheOverview(t *testing.T) {
	t.Parallel()
	o := open(t)
	if text := o.page("/"); strings.Contains(text, "Failed events") || !strings.Contains(text, "</b> events pending") {
		t.Errorf("no event failed, but GET / reads:\n%s", text)
	}
	o.write(strings.Replace(o.ruleText(""), fmt.Sprintf("destination: {folder: %q}", o.bramleyInside),
		fmt.Sprintf("destination: {folder: %q, path: payload.project.name}", o.bramleyInside), 1))
	o.eventually("/rules", "payload.project.name")
	o.portal.Upload(o.bramley, "Ledger.xlsx", 1000, o.client)
	text := o.eventually("/", `<a href="/events?state=failed" class="warn"><b>1</b> events failed`)
	box := regexp.MustCompile(`(?s)Failed events</h2>.*?</section>`).FindString(text)
	for _, want := range []string{`">Ledger.xlsx</a>`, "rule bramley-documents: destination.path: cannot fetch name", "<time "} {
		if !strings.Contains(box, want) {
			t.Errorf("the box of failed events lacks %q:\n%s", want, text)
		}
	}
}

func TestABackfillIsShownAndCancelled(t *testing.T) {
	t.Parallel()
	o := open(t)
	// What no rule wanted when it came.
	o.portal.Upload(o.bramley, "Drawing.odg", 1000, o.client)
	o.eventually("/events?state=ignored", "Drawing.odg")
	if text := o.page("/"); strings.Contains(text, "Backfills under way") {
		t.Errorf("there is no backfill, but GET / reads:\n%s", text)
	}
	o.write(strings.Replace(o.ruleText(""), `"xlsx"`, `"xlsx", "odg"`, 1))
	o.eventually("/rules", "odg")
	// Its transfer waits, and so it does not end.
	o.post("/pause", url.Values{"scope": {"rule"}, "name": {"bramley-documents"}, "for": {"1h"}, "author": {"Ana"}, "reason": {"audit"}})
	resp, err := http.Post(o.url+"/api/v1/backfills", "application/json", strings.NewReader(`{"rule": "bramley-documents"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("POST /api/v1/backfills: %s", resp.Status)
	}
	text := o.eventually("/", "0 of 1 transfer has ended")
	cancel := regexp.MustCompile(`action="(/backfills/[0-9]+/cancel)"`).FindStringSubmatch(text)
	if cancel == nil {
		t.Fatalf("no way to cancel it:\n%s", text)
	}
	if text := o.post(cancel[1], nil); strings.Contains(text, "Backfills under way") {
		t.Errorf("it is cancelled, but still shown:\n%s", text)
	}
	o.eventually("/transfers?state=cancelled", "Drawing.odg")
	again, err := http.PostForm(o.url+cancel[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	again.Body.Close()
	if again.StatusCode != http.StatusConflict {
		t.Errorf("cancelled twice: %s", again.Status)
	}
}

// post sends a form and follows where it leads.
func (o *office) post(path string, form url.Values) string {
	o.t.Helper()
	resp, err := http.PostForm(o.url+path, form)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		o.t.Fatalf("POST %s: %s %v\n%s", path, resp.Status, err, raw)
	}
	return string(raw)
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
