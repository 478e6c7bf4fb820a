package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// perform shows and verifies the main job, act by act.
func (s *stage) perform(ctx context.Context) error {
	acts := []struct {
		title string
		play  func(context.Context) error
	}{
		{"A client uploads into the shared room and into a folder below it", s.uploads},
		{"A file that no rule wants is left alone", s.unwanted},
		{"A repeated delivery is routed once", s.repeated},
		{"A forged delivery is refused", s.forged},
		{"A rule added to the running file takes effect", s.reloaded},
	}
	started := time.Now()
	for i, act := range acts {
		s.say("%d. %s", i+1, act.title)
		if err := act.play(ctx); err != nil {
			s.say("   FAILED: %v", err)
			return fmt.Errorf("demo: act %d, %s: %w", i+1, act.title, err)
		}
		s.say("")
	}
	s.say("All %d acts verified against the portal's own listing in %.1f s.", len(acts), time.Since(started).Seconds())
	return nil
}

func (s *stage) uploads(ctx context.Context) error {
	before := time.Now()
	s.portal.Upload(s.room, "Invoice 2026-11.pdf", 48_213, s.client)
	s.portal.UploadOneShot(s.below, "Order form.docx", 20_480, s.client)
	if err := s.expect(ctx, s.dest, "Invoice 2026-11.pdf", "Order form.docx"); err != nil {
		return err
	}
	s.say("   both arrived %.1f s after the upload; the second came with two webhooks, as uploads through the API do", time.Since(before).Seconds())
	return s.show("Acme - Internal", s.dest)
}

func (s *stage) unwanted(ctx context.Context) error {
	tool := s.portal.Upload(s.room, "setup.exe", 9_000_000, s.client)
	photo := s.portal.Upload(s.other, "Beach.pdf", 1_000_000, s.client)
	for _, id := range []portalsim.ID{tool, photo} {
		reason, err := s.decision(ctx, id, event.EventIgnored)
		if err != nil {
			return err
		}
		s.say("   file %s: ignored, %s", id, reason)
	}
	if err := s.expect(ctx, s.dest, "Invoice 2026-11.pdf", "Order form.docx"); err != nil {
		return err
	}
	return s.show("Acme - Internal", s.dest)
}

func (s *stage) repeated(ctx context.Context) error {
	var row portalsim.DeliveryRow
	for _, r := range s.portal.DeliveryLog() {
		if r.Delivered.After(row.Delivered) && strings.Contains(r.Body, "Invoice 2026-11.pdf") {
			row = r
		}
	}
	code, answer, err := s.post(ctx, row.Body, row.Signature)
	if err != nil {
		return err
	}
	if code != http.StatusOK || !strings.Contains(answer, `"duplicate":true`) {
		return fmt.Errorf("the same bytes again were answered %d %s", code, answer)
	}
	s.say("   the same delivery again: %d %s", code, answer)

	// Somebody presses "retry" in the portal: the same happening under a new event id.
	s.portal.RetryDelivery(row.ID)
	if err := s.portal.WaitDelivered(ctx); err != nil {
		return err
	}
	if err := s.quiet(ctx); err != nil {
		return err
	}
	s.say("   a manual retry in the portal, which has a new event id: no second copy")
	if err := s.expect(ctx, s.dest, "Invoice 2026-11.pdf", "Order form.docx"); err != nil {
		return err
	}
	return s.show("Acme - Internal", s.dest)
}

func (s *stage) forged(ctx context.Context) error {
	body := fmt.Sprintf(`{"event":{"id":666,"trigger":"file.uploaded"},"payload":{"id":90001,"parentId":%s,"title":"Forged.pdf","fileEntryType":2},"webhook":{"id":%d}}`, s.room, s.hook)
	for _, signature := range []string{"", event.Sign([]byte(body), s.forger)} {
		code, answer, err := s.post(ctx, body, signature)
		if err != nil {
			return err
		}
		if code != http.StatusUnauthorized {
			return fmt.Errorf("a forged delivery was answered %d %s", code, answer)
		}
		s.say("   signature %-20.20q: %d %s", signature, code, answer)
	}
	if err := s.quiet(ctx); err != nil {
		return err
	}
	return s.expect(ctx, s.dest, "Invoice 2026-11.pdf", "Order form.docx")
}

func (s *stage) reloaded(ctx context.Context) error {
	before, err := s.rulesInUse(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.rulesFile, []byte(s.rules(true)), 0o600); err != nil {
		return err
	}
	saved := time.Now()
	if err := s.wait(ctx, "the new rules are in use", func() (bool, error) {
		n, err := s.rulesInUse(ctx)
		return n == before+1, err
	}); err != nil {
		return err
	}
	s.say("   %d rules instead of %d were in use %.1f s after the file was saved", before+1, before, time.Since(saved).Seconds())
	s.portal.Upload(s.below, "Contract signed.pdf", 77_000, s.client)
	if err := s.expect(ctx, s.contracts, "Contract signed.pdf"); err != nil {
		return err
	}
	if err := s.expect(ctx, s.dest, "Contract signed.pdf", "Invoice 2026-11.pdf", "Order form.docx"); err != nil {
		return err
	}
	return errors.Join(s.show("Acme - Internal", s.dest), s.show("Legal - Contracts", s.contracts))
}

// expect waits until a folder of the portal holds exactly these titles.
func (s *stage) expect(ctx context.Context, folder portalsim.ID, titles ...string) error {
	slices.Sort(titles)
	var got []string
	err := s.wait(ctx, "the folder holds what it should", func() (bool, error) {
		got = got[:0]
		for _, e := range s.portal.List(folder) {
			got = append(got, e.Title)
		}
		slices.Sort(got)
		return slices.Equal(got, titles), nil
	})
	if err != nil {
		return fmt.Errorf("folder %s holds %q, want %q: %w", folder, got, titles, err)
	}
	return nil
}

// show prints the portal's own listing of a folder.
func (s *stage) show(name string, folder portalsim.ID) error {
	s.say("   the portal lists in %q (%s):", name, folder)
	for _, e := range s.portal.List(folder) {
		s.say("     %s %-8s %8d bytes  %s", e.Kind, e.ID, e.Size, e.Title)
	}
	return nil
}

// decision waits until the gateway has decided on a file and returns the reason.
func (s *stage) decision(ctx context.Context, file portalsim.ID, state event.EventState) (reason string, err error) {
	err = s.wait(ctx, fmt.Sprintf("file %s is %s", file, state), func() (bool, error) {
		var list struct {
			Events []struct {
				EntryID string `json:"entry_id"`
				Reason  string `json:"reason"`
			} `json:"events"`
		}
		if err := s.ask(ctx, "/api/v1/events?state="+url.QueryEscape(string(state)), &list); err != nil {
			return false, err
		}
		for _, e := range list.Events {
			if e.EntryID == string(file) {
				reason = e.Reason
				return true, nil
			}
		}
		return false, nil
	})
	return reason, err
}

type status struct {
	Rules struct {
		Rules  int      `json:"rules"`
		Hash   string   `json:"hash"`
		Errors []string `json:"errors"`
	} `json:"rules"`
	Events    map[event.EventState]int `json:"events"`
	Transfers map[event.State]int      `json:"transfers"`
}

func (s *stage) rulesInUse(ctx context.Context) (int, error) {
	var st status
	err := s.ask(ctx, "/api/v1/status", &st)
	return st.Rules.Rules, err
}

// quiet waits until every event is decided and every transfer has ended.
func (s *stage) quiet(ctx context.Context) error {
	return s.wait(ctx, "nothing is under way", func() (bool, error) {
		var st status
		if err := s.ask(ctx, "/api/v1/status", &st); err != nil {
			return false, err
		}
		return st.Events[event.EventPending] == 0 &&
			st.Transfers[event.Blocked]+st.Transfers[event.Queued]+st.Transfers[event.Sending] == 0, nil
	})
}

// ask reads from the gateway's admin API.
func (s *stage) ask(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.gateway.AdminAddr()+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// post delivers a body to the gateway as anybody could.
func (s *stage) post(ctx context.Context, body, signature string) (code int, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.gateway.Addr()+"/webhook", bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	if signature != "" {
		req.Header.Set(event.SignatureHeader, signature)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(raw)), err
}

// wait asks again and again until something holds, or the demo's patience ends.
func (s *stage) wait(ctx context.Context, what string, holds func() (bool, error)) error {
	waiting, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		ok, err := holds()
		if err != nil && ctx.Err() == nil {
			return err
		}
		if ok {
			return nil
		}
		select {
		case <-waiting.Done():
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			return fmt.Errorf("not so within %s: %s", s.patience, what)
		case <-ticker.C:
		}
	}
}
