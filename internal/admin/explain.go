package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"docspace-router/internal/event"
	"docspace-router/internal/explain"
	"docspace-router/internal/store"
)

// ErrUnknownPortal says that the rules in use have no portal of the name, or several where
// none was named.
var ErrUnknownPortal = errors.New("unknown portal")

// maxDelivery is the largest body that the webhook endpoint takes.
const maxDelivery = 2 << 20

// registerExplain adds what explains deliveries and stored events. Neither routes anything.
func (a api) registerExplain(routes huma.API) {
	huma.Post(routes, "/api/v1/explain", a.explainBody, func(o *huma.Operation) {
		o.Summary = "Says what the rules in use make of a delivery"
		o.SkipValidateBody = true // what a delivery looks like is not ours to say
		o.MaxBodyBytes = maxDelivery
	})
	huma.Post(routes, "/api/v1/events/{id}/explain", a.explainStored, func(o *huma.Operation) {
		o.Summary = "Says what the rules in use make of a stored event"
	})
}

type explainOutput struct {
	Body explain.Explanation
}

type explainBodyInput struct {
	Portal  string `query:"portal" doc:"the portal that sent the delivery; needed when there are several"`
	RawBody []byte `contentType:"application/json" doc:"the body of a delivery, as the portal sends it"`
}

func (a api) explainBody(ctx context.Context, in *explainBodyInput) (*explainOutput, error) {
	ev, err := event.Parse(in.RawBody)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	return a.explain(ctx, in.Portal, ev)
}

type explainStoredInput struct {
	ID int64 `path:"id" minimum:"1" doc:"the id of the event, in the list of events"`
}

func (a api) explainStored(ctx context.Context, in *explainStoredInput) (*explainOutput, error) {
	stored, body, err := a.Store.Event(ctx, in.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, huma.Error404NotFound(fmt.Sprintf("there is no event %d", in.ID))
	case err != nil:
		return nil, err
	}
	ev, err := event.Parse(body)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("the stored body cannot be read: %v", err))
	}
	if ev.CreatedOn.IsZero() {
		ev.CreatedOn = stored.HappenedAt
	}
	out, err := a.explain(ctx, stored.Portal, ev)
	if err != nil {
		return nil, err
	}
	out.Body.Stored = &explain.Stored{ID: in.ID, State: stored.State, Reason: stored.Reason}
	return out, nil
}

func (a api) explain(ctx context.Context, portal string, ev event.Event) (*explainOutput, error) {
	e, err := a.Explain(ctx, portal, ev)
	switch {
	case errors.Is(err, ErrUnknownPortal):
		return nil, huma.Error422UnprocessableEntity(err.Error())
	case err != nil:
		return nil, huma.Error502BadGateway(err.Error())
	}
	return &explainOutput{Body: e}, nil
}
