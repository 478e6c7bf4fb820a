package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// CatchUp is how the catch-up of a portal stands: the look into its webhook log for deliveries that
// were missed.
type CatchUp struct {
	Portal      string     `json:"portal"`
	Running     bool       `json:"running"`
	StartedAt   *time.Time `json:"started_at,omitempty" doc:"when the look under way, or the last one, began"`
	EndedAt     *time.Time `json:"ended_at,omitempty" doc:"when the last look ended"`
	Webhooks    int        `json:"webhooks" doc:"webhooks of the gateway on this portal"`
	Rows        int        `json:"rows" doc:"log rows read by that look"`
	Missing     int        `json:"missing" doc:"of these, deliveries that had never been stored"`
	Taken       int        `json:"taken" doc:"of these, events stored by now"`
	Trouble     string     `json:"trouble,omitempty" doc:"why the last look came to no end"`
	WrongSecret bool       `json:"wrong_secret,omitempty" doc:"whether the webhook signs with a secret that the rules file does not list"`
	Asked       int        `json:"asked" doc:"how often a look was asked for"`
	Answered    int        `json:"answered" doc:"how many of these looks have ended"`
}

// CatchUpOptions are what the catch-up's requests need.
type CatchUpOptions struct {
	// Ask has a portal's log, or all for "", looked into back to a time; the zero time: from where
	// the last look ended. The error is ErrUnknownPortal or says why it cannot be.
	Ask func(portal string, since time.Time) ([]CatchUp, error)
	// Status says how things stand with a portal, or all for "".
	Status func(portal string) []CatchUp
}

type catchUpInput struct {
	Portal string `query:"portal" doc:"only this portal"`
}

// Resolve implements huma.Resolver.
func (*catchUpInput) Resolve(ctx huma.Context) []error { return unknownParameters(ctx) }

type askCatchUpInput struct {
	Portal string `query:"portal" doc:"only this portal"`
	Since  since  `query:"since" doc:"how far back to look (RFC 3339); without it, to where the last look ended"`
}

// Resolve implements huma.Resolver.
func (*askCatchUpInput) Resolve(ctx huma.Context) []error { return unknownParameters(ctx) }

type catchUpOutput struct {
	Body struct {
		Portals []CatchUp `json:"portals"`
	}
}

func (a api) registerCatchUp(routes huma.API) {
	if a.CatchUp.Ask == nil || a.CatchUp.Status == nil {
		return
	}
	huma.Get(routes, "/api/v1/catch-up", func(_ context.Context, in *catchUpInput) (*catchUpOutput, error) {
		out := &catchUpOutput{}
		if out.Body.Portals = a.CatchUp.Status(in.Portal); len(out.Body.Portals) == 0 {
			return nil, huma.Error404NotFound("there is no portal " + in.Portal)
		}
		return out, nil
	}, func(o *huma.Operation) { o.Summary = "Says how the look into each portal's webhook log stands" })
	huma.Post(routes, "/api/v1/catch-up", func(_ context.Context, in *askCatchUpInput) (*catchUpOutput, error) {
		out := &catchUpOutput{}
		var err error
		out.Body.Portals, err = a.CatchUp.Ask(in.Portal, in.Since.Time)
		switch {
		case errors.Is(err, ErrUnknownPortal):
			return nil, huma.Error404NotFound("there is no portal " + in.Portal)
		case err != nil:
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
		return out, nil
	}, func(o *huma.Operation) {
		o.DefaultStatus = http.StatusOK
		o.Summary = "Has the portals' webhook logs looked into for deliveries that were missed"
	})
}
