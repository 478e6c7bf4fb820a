package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// steered is what people did to a transfer and what became of its attempts, oldest first.
type steered struct {
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
}

// author is who did it, and what; empty when nobody did.
func (s steered) author() (who string, v verb) {
	if who, ok := strings.CutPrefix(s.Reason, "cancelled by "); ok && s.Outcome == "cancelled" {
		return who, cancelling
	}
	if who, ok := strings.CutPrefix(s.Reason, "queued again by "); ok && s.Outcome == "queued" {
		return who, retrying
	}
	return "", ""
}

// histories reads what was done to each transfer.
func histories(ctx context.Context, api adminAPI, list []transfer) (map[int64][]steered, error) {
	out := map[int64][]steered{}
	for _, t := range list {
		var story struct {
			History []steered `json:"history"`
		}
		if err := api.get(ctx, fmt.Sprintf("/api/v1/transfers/%d", t.ID), &story); err != nil {
			return nil, err
		}
		out[t.ID] = story.History
	}
	return out, nil
}

// cancelled reports whether the last thing somebody did to the transfer was to cancel it.
func (e evidence) cancelled(t transfer) bool {
	last := verb("")
	for _, s := range e.histories[t.ID] {
		if _, v := s.author(); v != "" {
			last = v
		}
	}
	return last == cancelling
}

// checkSteering: what the operator asked for was done, and nothing else.
func (e evidence) checkSteering() []finding {
	known := map[string]*request{}
	for _, r := range e.requests {
		known[r.author] = r
	}
	did := map[string]int{}
	var out []finding
	for _, t := range e.transfers {
		tell := func(format string, args ...any) {
			out = append(out, finding{wrong, t.Destination, e.entries[entryKey{t.Kind, t.EntryID}], fmt.Sprintf("transfer %d of rule %s ", t.ID, t.Rule) + fmt.Sprintf(format, args...)})
		}
		ended := false // cancelled, and not queued again since
		for _, s := range e.histories[t.ID] {
			who, v := s.author()
			if v == "" {
				if ended {
					tell("was cancelled and then attempted: %s, %s", s.Outcome, s.Reason)
				}
				continue
			}
			switch r := known[who]; {
			case r == nil || r.verb != v || r.answer == refused || !r.covers(t):
				tell("says %q, which that one did not ask for", s.Reason)
			case ended && v == cancelling:
				tell("was cancelled twice")
			}
			did[who]++
			ended = v == cancelling
		}
		if ended != (t.State == "cancelled") {
			tell("is %s, and its history says cancelled: %t", t.State, ended)
		}
		for _, p := range e.pauses() {
			if p.holds(t) && t.State == "done" && t.QueuedAt.After(p.from) && t.EndedAt.Add(time.Millisecond).Before(p.to) {
				tell("was queued at %s and done at %s, and %s was paused from %s to %s",
					t.QueuedAt.Format(clock), t.EndedAt.Format(clock), p.key, p.from.Format(clock), p.to.Format(clock))
			}
		}
	}
	for _, r := range e.requests {
		if r.answer == agreed && r.covers != nil && did[r.author] != r.acted {
			out = append(out, finding{class: wrong, text: fmt.Sprintf("%s was told that %d transfers were acted on by %s, and %d say so", r.author, r.acted, r.path, did[r.author])})
		}
	}
	return out
}

// The names of steps that sum up others.
const (
	asked           = "requests"
	unanswered      = "requests without an answer"
	cancelledByThem = "transfers cancelled"
	queuedByThem    = "transfers queued again"
)

// steps counts what the operator asked for, by the verb, and what it did to transfers.
func (e evidence) steps() map[string]int {
	n := map[string]int{}
	for _, r := range e.requests {
		n[asked]++
		n[string(r.verb)]++
		switch {
		case r.answer == unknown:
			n[unanswered]++
		case r.answer == agreed && r.covers == nil:
			n[string(r.verb)+", agreed to"]++
		}
	}
	for _, list := range e.histories {
		for _, s := range list {
			switch _, v := s.author(); v {
			case cancelling:
				n[cancelledByThem]++
			case retrying:
				n[queuedByThem]++
			}
		}
	}
	return n
}

const clock = "15:04:05.000"

// span is a time in which a pause was certainly in force.
type span struct {
	key      string
	from, to time.Time
}

func (s span) holds(t transfer) bool {
	return s.key == "rule "+t.Rule || s.key == "portal "+portalName
}

// pauses are the times in which something was certainly paused: from the answer to the request on,
// until its end or the moment somebody asked for something else.
func (e evidence) pauses() []span {
	var out []span
	for _, r := range e.requests {
		if r.verb != pausing || r.answer != agreed {
			continue
		}
		s := span{r.key, r.answered, r.until}
		for _, other := range e.requests {
			same := other.verb == pausing && other.until.Equal(r.until)
			if other.key != r.key || other == r || same || other.answer != unknown && other.answered.Before(r.asked) {
				continue
			}
			if other.asked.Before(s.to) {
				s.to = other.asked
			}
		}
		if s.from.Before(s.to) {
			out = append(out, s)
		}
	}
	return out
}

// withoutCancelled leaves out of the wants those whose transfer somebody cancelled: what they ask
// for is not to be there.
func (e evidence) withoutCancelled() []want {
	triggers := map[int64]string{}
	for _, ev := range e.events {
		triggers[ev.ID] = ev.Trigger
	}
	type key struct {
		rowKey
		what string
	}
	cancelled := map[key]bool{}
	for _, t := range e.transfers {
		if e.cancelled(t) {
			cancelled[key{rowKey{t.Rule, entryKey{t.Kind, t.EntryID}, t.Destination}, oneThing(triggers[t.Event])}] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(e.wants), func(w want) bool {
		return cancelled[key{rowKey{w.rule.name, entryKey{w.entry.kind, w.entry.id}, w.to}, w.what}]
	})
}
