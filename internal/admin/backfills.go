package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"

	"docspace-router/internal/backfill"
	"docspace-router/internal/store"
)

// Backfills is what starts backfills and tells of them.
type Backfills interface {
	Start(ctx context.Context, r backfill.Request, author string) (backfill.Status, error)
	Rehearse(ctx context.Context, r backfill.Request, tell func(backfill.Line) error) (backfill.Tally, error)
	Status(ctx context.Context, id int64) (backfill.Status, error)
	List(ctx context.Context) ([]backfill.Status, error)
	Cancel(ctx context.Context, id int64, author string) (backfill.Status, error)
}

func (a api) registerBackfills(routes huma.API) {
	if a.Backfill == nil {
		return
	}
	huma.Post(routes, "/api/v1/backfills", a.startBackfill, func(o *huma.Operation) {
		o.Summary = "Routes what lay in a rule's sources before the rule did"
		o.DefaultStatus = http.StatusOK
	})
	huma.Post(routes, "/api/v1/backfills/rehearse", a.rehearse, func(o *huma.Operation) {
		o.Summary = "Says what a backfill would route, as lines of JSON: entries, and at last the tally or an error"
	})
	huma.Get(routes, "/api/v1/backfills", a.backfills, summary("Lists the latest backfills"))
	huma.Get(routes, "/api/v1/backfills/{id}", a.backfill, summary("Tells how far a backfill is"))
	huma.Post(routes, "/api/v1/backfills/{id}/cancel", a.cancelBackfill, func(o *huma.Operation) {
		o.Summary = "Ends a backfill; what it asked for and has not been sent is cancelled"
	})
}

type backfillRequest struct {
	Author
	Body struct {
		Rule    string    `json:"rule" minLength:"1" doc:"the rule's name"`
		Portal  string    `json:"portal,omitempty" doc:"needed for a rule of several portals"`
		Sources []string  `json:"sources,omitempty" doc:"ids of sources of the rule; absent: all of them"`
		Since   time.Time `json:"since,omitempty" doc:"only what was created or changed at this time or later"`
	}
}

func (r *backfillRequest) request() backfill.Request {
	return backfill.Request{Rule: r.Body.Rule, Portal: r.Body.Portal, Sources: r.Body.Sources, Since: r.Body.Since}
}

type backfillOutput struct{ Body backfill.Status }

// answer makes the API's answer of a backfill or an error.
func (a api) answer(s backfill.Status, err error) (*backfillOutput, error) {
	if err != nil {
		return nil, backfillError(err)
	}
	return &backfillOutput{Body: s}, nil
}

func backfillError(err error) error {
	var refusal *backfill.Refusal
	switch {
	case errors.As(err, &refusal):
		return huma.Error422UnprocessableEntity(err.Error())
	case errors.Is(err, store.ErrNotFound):
		return huma.Error404NotFound("there is no backfill of that id")
	default:
		return huma.Error502BadGateway(err.Error())
	}
}

func (a api) startBackfill(ctx context.Context, in *backfillRequest) (*backfillOutput, error) {
	return a.answer(a.Backfill.Start(ctx, in.request(), in.Author.Author))
}

type backfillInput struct {
	ID int64 `path:"id" minimum:"1" doc:"the id of the backfill"`
}

func (a api) backfill(ctx context.Context, in *backfillInput) (*backfillOutput, error) {
	return a.answer(a.Backfill.Status(ctx, in.ID))
}

func (a api) cancelBackfill(ctx context.Context, in *struct {
	Author
	ID int64 `path:"id" minimum:"1" doc:"the id of the backfill"`
}) (*backfillOutput, error) {
	return a.answer(a.Backfill.Cancel(ctx, in.ID, in.Author.Author))
}

type backfillsOutput struct {
	Body struct {
		Backfills []backfill.Status `json:"backfills" doc:"newest first"`
	}
}

func (a api) backfills(ctx context.Context, _ *struct{}) (*backfillsOutput, error) {
	list, err := a.Backfill.List(ctx)
	if err != nil {
		return nil, err
	}
	var out backfillsOutput
	out.Body.Backfills = append([]backfill.Status{}, list...)
	return &out, nil
}

// RehearsalLine is a line of a rehearsal: an entry, or at the end the tally or an error.
type RehearsalLine struct {
	Entry *backfill.Line  `json:"entry,omitempty"`
	Tally *backfill.Tally `json:"tally,omitempty"`
	Error string          `json:"error,omitempty"`
}

// rehearse answers while it walks: the list may be long, and whoever reads it may stop.
func (a api) rehearse(_ context.Context, in *backfillRequest) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(c huma.Context) {
		r, w := humamux.Unwrap(c)
		// The time a request may take to be read would otherwise end a long answer as well. What
		// cannot lift it, a test's recorder say, has no such limit.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		w.Header().Set("Content-Type", "application/x-ndjson")
		lines := json.NewEncoder(w)
		tally, err := a.Backfill.Rehearse(r.Context(), in.request(), func(l backfill.Line) error {
			if err := lines.Encode(RehearsalLine{Entry: &l}); err != nil {
				return fmt.Errorf("tell of %s %s: %w", l.Kind, l.ID, err)
			}
			return nil
		})
		last := RehearsalLine{Tally: &tally}
		if err != nil {
			last = RehearsalLine{Error: err.Error()}
		}
		_ = lines.Encode(last) // to somebody who may have gone
	}}, nil
}
