package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"docspace-router/internal/app"
)

// paceFlag reads the waiting times of the gateway's parts from a JSON object, such as
// {"poll":"20ms","settle_after":"2s"}. It is hidden: the defaults follow from how DocSpace
// behaves, and only a portal that is simulated may be simulated faster.
type paceFlag struct{ pace *app.Pace }

// String implements pflag.Value.
func (p paceFlag) String() string { return "" }

// Type implements pflag.Value.
func (p paceFlag) Type() string { return "json" }

// Set implements pflag.Value.
func (p paceFlag) Set(s string) error {
	var in struct {
		Reload      period `json:"reload"`
		PortalPause period `json:"portal_pause"`
		Poll        period `json:"poll"`
		SettleAfter period `json:"settle_after"`
		RetryFirst  period `json:"retry_first"`
		Sweep       period `json:"sweep"`
		DeadAfter   period `json:"dead_after"`
		CatchUp     period `json:"catch_up"`
		Fresh       period `json:"fresh"`
		Watch       period `json:"watch"`
	}
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return fmt.Errorf("not an object of waiting times: %w", err)
	}
	*p.pace = app.Pace{
		Reload: time.Duration(in.Reload), PortalPause: time.Duration(in.PortalPause), Poll: time.Duration(in.Poll),
		SettleAfter: time.Duration(in.SettleAfter), RetryFirst: time.Duration(in.RetryFirst), Sweep: time.Duration(in.Sweep),
		DeadAfter: time.Duration(in.DeadAfter), CatchUp: time.Duration(in.CatchUp), Fresh: time.Duration(in.Fresh),
		Watch: time.Duration(in.Watch),
	}
	return nil
}

// UnmarshalText reads a period as the flags do.
func (p *period) UnmarshalText(text []byte) error { return p.Set(string(text)) }
