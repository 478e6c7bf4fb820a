package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

// goOn keeps uploading and tells what the gateway does, until ctx ends.
func (s *stage) goOn(ctx context.Context) error {
	s.say(`Clara Client uploads a file every few seconds. Meanwhile:

    open http://%[2]s/ in a browser
    edit %[1]s, or break it, and see what happens here

In another terminal these lines make the other commands work with the demo:

%[3]s
    docspace-router transfers list
    docspace-router events list --state ignored
    docspace-router rooms --tree
    docspace-router check --online
    docspace-router webhook list

More rooms for rules of your own: %[4]s "Holiday photos", %[5]s "Legal - Contracts".
Ctrl-C ends the demo and removes its files.
`, s.rulesFile, s.gateway.AdminAddr(), s.exports(), s.other, s.contracts)
	r := reporter{stage: s, ended: map[int64]bool{}, ignored: map[int64]bool{}}
	if err := r.look(ctx); err != nil {
		return err
	}
	upload := time.NewTicker(4 * time.Second)
	defer upload.Stop()
	look := time.NewTicker(300 * time.Millisecond)
	defer look.Stop()
	for n := 1; ; n++ {
		s.uploadOne(n)
		for uploaded := false; !uploaded; {
			select {
			case <-ctx.Done():
				return nil
			case <-upload.C:
				uploaded = true
			case <-look.C:
				if err := r.look(ctx); err != nil && ctx.Err() == nil {
					return err
				}
			}
		}
	}
}

// exports are the variables that lead the other commands to the demo. No secret is among them: the
// portal is simulated, and on this machine.
func (s *stage) exports() string {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "    export %s=%s\n", name, value) }
	line("ROUTER_ADMIN", "http://"+s.gateway.AdminAddr())
	line("ROUTER_RULES", "'"+strings.ReplaceAll(s.rulesFile, "'", `'\''`)+"'")
	for _, name := range slices.Sorted(maps.Keys(s.variables)) {
		line(name, s.variables[name])
	}
	return b.String()
}

// uploadOne uploads one file of a mixed lot.
func (s *stage) uploadOne(n int) {
	title, into := fmt.Sprintf("Report %03d.pdf", n), s.room
	switch n % 4 {
	case 2:
		title, into = fmt.Sprintf("Contract %03d signed.docx", n), s.below
	case 3:
		title = fmt.Sprintf("setup-%03d.exe", n)
	case 0:
		title, into = fmt.Sprintf("Beach %03d.jpg", n), s.other
	}
	id := s.portal.Upload(into, title, int64(n)*10_000, s.client)
	s.tell("uploaded %q, file %s, into %s", title, id, s.nameOf(into))
}

// nameOf is what people call a folder.
func (s *stage) nameOf(id portalsim.ID) string {
	names := map[portalsim.ID]string{
		s.room: "Acme - Shared with Client", s.below: "Acme - Shared with Client/2026", s.other: "Holiday photos",
		s.dest: "Acme - Internal", s.contracts: "Legal - Contracts",
	}
	if name, ok := names[id]; ok {
		return fmt.Sprintf("%q", name)
	}
	return "folder " + string(id)
}

// tell says something with the time.
func (s *stage) tell(format string, args ...any) {
	s.say("%s  %s", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// reporter tells each thing the admin API knows once.
type reporter struct {
	*stage
	ended   map[int64]bool // transfers whose end was told
	ignored map[int64]bool // events that were told
	hash    string
	errors  []string
}

func (r *reporter) look(ctx context.Context) error {
	return errors.Join(r.lookAtRules(ctx), r.lookAtTransfers(ctx), r.lookAtEvents(ctx))
}

// lookAtRules tells that the rules in use have changed, or why they have not.
func (r *reporter) lookAtRules(ctx context.Context) error {
	var st status
	if err := r.ask(ctx, "/api/v1/status", &st); err != nil {
		return err
	}
	first := r.hash == ""
	switch {
	case len(st.Rules.Errors) > 0 && !slices.Equal(st.Rules.Errors, r.errors):
		r.tell("the rules file is refused, the rules in use stay:\n          %s", strings.Join(st.Rules.Errors, "\n          "))
	case len(st.Rules.Errors) == 0 && st.Rules.Hash != r.hash && !first:
		r.tell("the rules file is reloaded: %d in use", st.Rules.Rules)
	case len(st.Rules.Errors) == 0 && len(r.errors) > 0:
		r.tell("the rules file is as it was: %d in use", st.Rules.Rules)
	}
	r.hash, r.errors = st.Rules.Hash, st.Rules.Errors
	return nil
}

// lookAtTransfers tells what became of transfers.
func (r *reporter) lookAtTransfers(ctx context.Context) error {
	var list struct {
		Transfers []struct {
			ID          int64        `json:"id"`
			Rule        string       `json:"rule"`
			Action      event.Action `json:"action"`
			Title       string       `json:"title"`
			Destination string       `json:"destination"`
			State       event.State  `json:"state"`
			Reason      string       `json:"reason"`
			ResultID    string       `json:"result_id"`
			EndedAt     *time.Time   `json:"ended_at"`
		} `json:"transfers"`
	}
	if err := r.ask(ctx, "/api/v1/transfers", &list); err != nil {
		return err
	}
	for _, t := range slices.Backward(list.Transfers) { // newest first in the list
		if t.EndedAt == nil || r.ended[t.ID] {
			continue
		}
		r.ended[t.ID] = true
		result := ""
		if t.ResultID != "" {
			result = ", file " + t.ResultID
		}
		if t.Reason != "" {
			result += ", " + t.Reason
		}
		r.tell("  %s: %s of %q to %s %s%s", t.Rule, t.Action, t.Title, r.nameOf(portalsim.ID(t.Destination)), t.State, result)
	}
	return nil
}

// lookAtEvents tells of events that lead to nothing.
func (r *reporter) lookAtEvents(ctx context.Context) error {
	var list struct {
		Events []struct {
			ID      int64  `json:"id"`
			Trigger string `json:"trigger"`
			Title   string `json:"title"`
			Reason  string `json:"reason"`
		} `json:"events"`
	}
	if err := r.ask(ctx, "/api/v1/events?state=ignored", &list); err != nil {
		return err
	}
	for _, e := range slices.Backward(list.Events) {
		if r.ignored[e.ID] {
			continue
		}
		r.ignored[e.ID] = true
		r.tell("  %s of %q ignored: %s", e.Trigger, e.Title, e.Reason)
	}
	return nil
}
