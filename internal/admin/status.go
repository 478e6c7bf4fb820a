package admin

import (
	"context"
	"time"

	"docspace-router/internal/event"
)

// The states of a portal, as the process that answers has found it.
const (
	PortalUp      = "up"
	PortalDown    = "down"    // it cannot be reached, or refuses the gateway's key
	PortalLimited = "limited" // its day's writes are used up, or it asked to wait
)

// PortalStatus says how a portal does.
type PortalStatus struct {
	Name     string       `json:"name"`
	URL      string       `json:"url"`
	State    string       `json:"state" enum:"up,down,limited"`
	Since    *time.Time   `json:"since,omitempty" doc:"when it went down, or was last back; absent when it was never down since the start"`
	Until    *time.Time   `json:"until,omitempty" doc:"when it may be written to again, of one that is limited"`
	Reason   string       `json:"reason,omitempty" doc:"why it is down or limited"`
	Budget   PortalBudget `json:"budget"`
	Waiting  int64        `json:"waiting" doc:"transfers that are blocked, queued or being sent"`
	OldestAt *time.Time   `json:"oldest_queued,omitempty" doc:"when the one that was queued first was queued"`
	// Webhook is absent when the gateway does not watch its webhooks.
	Webhook *WebhookStatus `json:"webhook,omitempty"`
	CatchUp *CatchUp       `json:"catch_up,omitempty" doc:"how the reading of the portal's webhook log stands"`
}

// WebhookStatus is how the gateway's own webhook on a portal stood at the last check.
type WebhookStatus struct {
	OK        bool       `json:"ok"`
	ID        int64      `json:"id,omitempty" doc:"the portal's id of it; absent when there is none, or when it is not known which one it is"`
	Summary   string     `json:"summary" doc:"the same in words, with what is wrong"`
	CheckedAt *time.Time `json:"checked_at,omitempty"`
}

// PortalBudget is a portal's allowance of write calls.
type PortalBudget struct {
	PerDay int     `json:"writes_per_day" doc:"0: not limited"`
	Used   int64   `json:"used_today" doc:"on this day, UTC"`
	Left   float64 `json:"tokens_left" doc:"how many may leave at once; more flow in over the day"`
}

type statusOutput struct {
	Body struct {
		Version      string                     `json:"version"`
		Rules        RulesStatus                `json:"rules"`
		Events       map[event.EventState]int64 `json:"events" doc:"how many events are in each state; figures above 10000 as of counted_at"`
		Transfers    map[event.State]int64      `json:"transfers" doc:"how many transfers are in each state; figures above 10000 as of counted_at"`
		CountedAt    *time.Time                 `json:"counted_at,omitempty" doc:"when the figures above 10000 were counted; absent when there are none, or none is counted yet"`
		Counting     bool                       `json:"counting,omitempty" doc:"true for some seconds after the start of a gateway with much stored: until the figures above 10000 are counted, 10001 stands for more than 10000"`
		OldestQueued *time.Time                 `json:"oldest_queued,omitempty" doc:"when the transfer that has waited longest was queued"`
		Portals      []PortalStatus             `json:"portals" doc:"by name"`
		Pauses       []Pause                    `json:"pauses" doc:"the rules and portals whose transfers are held; those that end first come first"`
	}
}

func (a api) status(ctx context.Context, _ *struct{}) (*statusOutput, error) {
	counts, err := a.Store.Counts(ctx)
	if err != nil {
		return nil, err
	}
	portals, err := a.Portals(ctx)
	if err != nil {
		return nil, err
	}
	pauses, err := a.Store.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	var out statusOutput
	out.Body.Portals, out.Body.Pauses = portals, pausesOf(pauses)
	out.Body.Version = a.Version
	out.Body.Rules = a.Rules()
	out.Body.Events, out.Body.Transfers = counts.Events, counts.Transfers
	out.Body.CountedAt, out.Body.Counting = optional(counts.CountedAt), counts.Counting
	out.Body.OldestQueued = optional(counts.OldestQueued)
	return &out, nil
}
