package app_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"docspace-router/internal/portalsim"
)

// act sends an order to the admin API and returns the answer's status.
func (w *world) act(method, path, body string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.gateway.AdminAddr()+"/api/v1/"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw)
}

func (w *world) pause(scope, name string, d time.Duration) {
	w.t.Helper()
	body := fmt.Sprintf(`{"scope":%q,"name":%q,"until":%q,"reason":"a test"}`, scope, name, time.Now().Add(d).UTC().Format(time.RFC3339Nano))
	if code, answer := w.act(http.MethodPost, "pauses", body); code != http.StatusOK {
		w.t.Errorf("pause: %d %s", code, answer)
	}
}

func TestWhatIsPausedIsHeldAndFlowsAgain(t *testing.T) {
	t.Parallel()
	for _, scope := range []string{"rule", "portal"} {
		t.Run(scope, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portalsim.Options{})
			other := w.addRoom("Another client")
			w.writeRules(rule("held", w.room, w.dest), rule("free", other, w.dest))
			w.start()
			name := map[string]string{"rule": "held", "portal": "default"}[scope]
			w.pause(scope, name, time.Hour)
			w.portal.Upload(w.room, "Held.pdf", 10, w.client)
			w.portal.Upload(other, "Free.pdf", 10, w.client)
			queued := 1
			if scope == "portal" {
				queued = 2
			}
			w.eventually("both are routed, and what is not held has gone", func() bool {
				s := w.status()
				return s.Events["routed"] == 2 && s.Transfers["queued"] == queued && s.Transfers["done"] == 2-queued
			})
			held := w.transfers("queued")[0]
			var list struct {
				Transfers []struct {
					HeldBy string `json:"held_by"`
				} `json:"transfers"`
			}
			w.get("/api/v1/transfers?state=queued&q="+held.Title, &list)
			if len(list.Transfers) != 1 || !strings.Contains(list.Transfers[0].HeldBy, scope+" "+name+" is paused by admin API: a test") {
				t.Errorf("held transfers %+v", list)
			}
			// The pause is made shorter, and ends by itself.
			w.pause(scope, name, 2*time.Second)
			w.wantTitles(w.dest, "Held.pdf", "Free.pdf")
			w.pause(scope, name, time.Hour)
			w.portal.Upload(w.room, "Again.pdf", 10, w.client)
			w.eventually("it is routed", func() bool { return w.status().Events["routed"] == 3 })
			if code, answer := w.act(http.MethodDelete, "pauses/"+scope+"/"+name, ""); code != http.StatusOK {
				t.Errorf("resume: %d %s", code, answer)
			}
			w.wantTitles(w.dest, "Held.pdf", "Free.pdf", "Again.pdf")
		})
	}
}

// TestSteeringNeverDoublesOrLoses lets somebody pause, resume, cancel, retry and replay at random while
// files arrive. In the end every file is there once.
func TestSteeringNeverDoublesOrLoses(t *testing.T) {
	t.Parallel()
	const files = 80
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest), rule("archive", w.room, w.addRoom("Archive"), "action: move"))
	w.start()
	var want []string
	var uploads sync.WaitGroup
	uploads.Go(func() {
		for i := range files {
			w.portal.Upload(w.room, fmt.Sprintf("File %d.pdf", i), 10, w.client)
		}
	})
	for i := range files {
		want = append(want, fmt.Sprintf("File %d.pdf", i))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		switch random.IntN(6) {
		case 0:
			w.pause("rule", "uploads", time.Duration(1000+random.IntN(2000))*time.Millisecond)
		case 1:
			w.act(http.MethodDelete, "pauses/rule/uploads", "")
		case 2:
			w.act(http.MethodPost, "transfers/cancel", `{"all":true}`)
		case 3:
			w.act(http.MethodPost, "transfers/retry", `{"state":["failed","cancelled"]}`)
		default:
			w.act(http.MethodPost, fmt.Sprintf("events/%d/replay", random.IntN(2*files)+1), "")
		}
	}
	uploads.Wait()
	w.eventually("everything that was cancelled has been tried again", func() bool {
		w.rest()
		w.act(http.MethodPost, "transfers/retry", `{"state":["failed","cancelled"]}`)
		w.rest()
		s := w.status()
		return s.Transfers["cancelled"]+s.Transfers["failed"] == 0
	})
	w.wantTitles(w.dest, want...)
	if n := w.status().Transfers["done"]; n != 2*files {
		t.Errorf("%d transfers are done, want %d", n, 2*files)
	}
}

func TestAPortalThatIsDownIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.start()
	portal := func() (p struct{ State, Reason, URL string }) {
		var s struct {
			Portals []struct {
				State  string `json:"state"`
				Reason string `json:"reason"`
				URL    string `json:"url"`
			} `json:"portals"`
		}
		w.get("/api/v1/status", &s)
		if len(s.Portals) == 1 {
			p = struct{ State, Reason, URL string }(s.Portals[0])
		}
		return p
	}
	if p := portal(); p.State != "up" || p.URL != w.env["DOCSPACE_API_HOST"] {
		t.Errorf("portal %+v", p)
	}
	key := w.env["DOCSPACE_API_KEY"]
	w.env["DOCSPACE_API_KEY"] = "sk-wrong"
	w.restart()
	for i := range 3 {
		w.portal.Upload(w.room, fmt.Sprintf("%d.pdf", i), 10, w.client)
	}
	w.eventually("the portal is told to be down", func() bool {
		p := portal()
		return p.State == "down" && p.Reason != ""
	})
	if strings.Contains(portal().Reason, "sk-wrong") {
		t.Error("the reason holds the key")
	}
	if !regexp.MustCompile(`level=ERROR msg="portal is down" .*the API key is unknown, expired or switched off`).MatchString(w.logs.String()) {
		t.Error("the log does not tell what to do")
	}
	w.env["DOCSPACE_API_KEY"] = key
	w.restart()
	w.wantTitles(w.dest, "0.pdf", "1.pdf", "2.pdf")
}
