package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"docspace-router/internal/portalsim"
)

// transfer is a transfer as the admin API shows it.
type transfer struct {
	ID          int64          `json:"id"`
	Event       int64          `json:"event"`
	Rule        string         `json:"rule"`
	Action      string         `json:"action"`
	Conflict    string         `json:"conflict"`
	Kind        portalsim.Kind `json:"entry_kind"`
	EntryID     portalsim.ID   `json:"entry_id"`
	Title       string         `json:"title"`
	Destination portalsim.ID   `json:"destination"`
	State       string         `json:"state"`
	Reason      string         `json:"reason,omitempty"`
	Attempts    int            `json:"attempts"`
	Operation   int64          `json:"operation,omitempty"`
	ResultID    portalsim.ID   `json:"result_id,omitempty"`
	ResultTitle string         `json:"result_title,omitempty"`
	QueuedAt    time.Time      `json:"queued_at"`
	EndedAt     time.Time      `json:"ended_at"`
}

// ended reports whether the transfer has an outcome.
func (t transfer) ended() bool {
	switch t.State {
	case "done", "skipped", "failed", "cancelled":
		return true
	}
	return false
}

// routed is an event as the admin API shows it.
type routed struct {
	ID        int64          `json:"id"`
	WebhookID string         `json:"webhook_id"`
	EventID   string         `json:"event_id"`
	Trigger   string         `json:"trigger"`
	Kind      portalsim.Kind `json:"entry_kind"`
	EntryID   portalsim.ID   `json:"entry_id"`
	State     string         `json:"state"`
	Reason    string         `json:"reason,omitempty"`
}

type status struct {
	Events    map[string]int `json:"events"`
	Transfers map[string]int `json:"transfers"`
}

// quiet reports whether the gateway has nothing left to do.
func (s status) quiet() bool {
	return s.Events["pending"] == 0 && s.Transfers["blocked"]+s.Transfers["queued"]+s.Transfers["sending"] == 0
}

// adminAPI asks one gateway's admin listener.
type adminAPI struct {
	client  *http.Client
	address string
}

func (a adminAPI) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.address+path, nil)
	if err != nil {
		return err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, resp.Status, raw)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

func (a adminAPI) status(ctx context.Context) (s status, err error) {
	err = a.get(ctx, "/api/v1/status", &s)
	return s, err
}

// ask makes a request that changes something, and notes in it what came of it.
func (a adminAPI) ask(ctx context.Context, r *request) {
	r.asked, r.answer = time.Now(), unknown
	defer func() { r.answered = time.Now() }()
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	var body bytes.Buffer
	if r.body != nil {
		if err := json.NewEncoder(&body).Encode(r.body); err != nil {
			return
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "http://"+a.address+r.path, &body)
	if err != nil {
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Author", r.author)
	resp, err := a.client.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	switch {
	case err != nil || resp.StatusCode >= http.StatusInternalServerError:
		return
	case resp.StatusCode != http.StatusOK:
		r.answer = refused
		return
	}
	r.answer, r.acted = agreed, 1
	var many struct {
		Acted *int `json:"acted"`
	}
	if json.Unmarshal(raw, &many) == nil && many.Acted != nil {
		r.acted = *many.Acted
	}
}

// askWithin bounds what a request may take while processes and the database die.
const askWithin = 5 * time.Second

// pages reads a list to its end, or what a filter's name and value lets through.
func pages[T any](ctx context.Context, a adminAPI, list string, filter ...string) ([]T, error) {
	var all []T
	for cursor := ""; ; {
		var page struct {
			Transfers  []T    `json:"transfers"`
			Events     []T    `json:"events"`
			NextCursor string `json:"next_cursor"`
		}
		q := url.Values{"limit": {"1000"}}
		for i := 0; i+1 < len(filter); i += 2 {
			q.Set(filter[i], filter[i+1])
		}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		if err := a.get(ctx, "/api/v1/"+list+"?"+q.Encode(), &page); err != nil {
			return nil, err
		}
		all = append(append(all, page.Transfers...), page.Events...)
		if cursor = page.NextCursor; cursor == "" {
			return all, nil
		}
	}
}
