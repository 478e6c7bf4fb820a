package main

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"docspace-router/internal/portalsim"
)

// happening is one thing that happened to an entry, as the portal's webhook log tells it.
type happening struct {
	entry    *entry
	trigger  string
	accepted bool // a delivery of it was answered with 2xx; else the gateway may have it or not
}

// want is a transfer the rules ask for.
type want struct {
	rule  *rule
	entry *entry
	to    portalsim.ID
	what  string // the happening; file.created and file.uploaded of one upload are one
	must  bool   // false: the gateway may not have been told, or the file was deleted
}

// delivery is a row of the webhook log that the gateway answered.
type delivery struct {
	eventID, webhookID string
	trigger            string
	kind               portalsim.Kind
	entryID            portalsim.ID
	accepted           bool
}

// readDelivery reads what the model needs of a logged body. ok is false for one that was never
// sent, or is about no entry.
func readDelivery(row portalsim.DeliveryRow) (d delivery, actor portalsim.UserID, ok bool) {
	var body struct {
		Event struct {
			ID       int              `json:"id"`
			CreateBy portalsim.UserID `json:"createBy"`
			Trigger  string           `json:"trigger"`
		} `json:"event"`
		Payload struct {
			ID   portalsim.ID `json:"id"`
			Type int          `json:"fileEntryType"`
		} `json:"payload"`
		Webhook struct {
			ID int `json:"id"`
		} `json:"webhook"`
	}
	if len(row.Sends) == 0 || json.Unmarshal([]byte(row.Body), &body) != nil || strings.HasPrefix(body.Event.Trigger, "user.") {
		return d, "", false
	}
	d = delivery{
		eventID: strconv.Itoa(row.ID), webhookID: strconv.Itoa(row.WebhookID), trigger: body.Event.Trigger,
		kind: portalsim.KindFile, entryID: body.Payload.ID,
		accepted: slices.ContainsFunc(row.Sends, func(s portalsim.Send) bool { return s.Status >= 200 && s.Status < 300 }),
	}
	if body.Payload.Type == 1 || strings.HasPrefix(d.trigger, "folder.") || strings.HasPrefix(d.trigger, "room.") {
		d.kind = portalsim.KindFolder
	}
	return d, body.Event.CreateBy, true
}

// happenings joins deliveries of one thing: retries by hand, a second webhook, both triggers of
// one upload apart. What the gateway's own account did is none.
func happenings(log []portalsim.DeliveryRow, entries map[entryKey]*entry, robot portalsim.UserID) []*happening {
	type key struct {
		entry   *entry
		trigger string
	}
	known := map[key]*happening{}
	var list []*happening
	for _, row := range log {
		d, actor, ok := readDelivery(row)
		e := entries[entryKey{d.kind, d.entryID}]
		if !ok || e == nil || actor == robot {
			continue
		}
		k := key{e, d.trigger}
		if known[k] == nil {
			known[k] = &happening{entry: e, trigger: d.trigger}
			list = append(list, known[k])
		}
		known[k].accepted = known[k].accepted || d.accepted
	}
	return list
}

// matches applies the rules to one happening: in file order, fallbacks last and only when
// nothing else matched, nothing after a stop, one move at most.
func matches(rules []*rule, h *happening) []want {
	var wants []want
	matched, stopped, moved := false, false, false
	for _, fallback := range []bool{false, true} {
		if fallback && matched {
			break
		}
		for _, r := range rules {
			if r.fallback != fallback || stopped || fallback && matched || !r.hears(h.trigger) || !r.when.holds(h.entry) {
				continue
			}
			ways := r.covers(h.entry.in)
			if len(ways) == 0 {
				continue
			}
			matched, stopped = true, r.stop
			var to []portalsim.ID
			for _, way := range ways {
				if slices.Contains(to, way.to) || r.action == "move" && moved {
					continue
				}
				to = append(to, way.to)
				moved = moved || r.action == "move"
				wants = append(wants, want{rule: r, entry: h.entry, to: way.to, what: oneThing(h.trigger), must: h.accepted && !h.entry.deleted})
			}
		}
	}
	return wants
}

// hears reports whether one of the rule's triggers stands for that of a delivery.
func (r *rule) hears(trigger string) bool {
	return slices.ContainsFunc(r.triggers, func(t string) bool {
		family, all := strings.CutSuffix(t, "*")
		if !all {
			return t == trigger
		}
		verb, of := strings.CutPrefix(trigger, family)
		return of && slices.Contains([]string{"created", "uploaded", "updated", "restored", "copied", "moved"}, verb)
	})
}

// oneThing is the same for the two triggers of a one-shot upload.
func oneThing(trigger string) string {
	if trigger == "file.created" || trigger == "file.uploaded" {
		return "file arrived"
	}
	return trigger
}

// wanted lists every transfer the rules ask for, each once however often it was reported.
func wanted(rules []*rule, list []*happening) []want {
	type key struct {
		rule  *rule
		entry *entry
		to    portalsim.ID
		what  string
	}
	at := map[key]int{}
	var wants []want
	for _, h := range list {
		for _, w := range matches(rules, h) {
			k := key{w.rule, w.entry, w.to, w.what}
			i, known := at[k]
			if !known {
				at[k] = len(wants)
				wants = append(wants, w)
				continue
			}
			wants[i].must = wants[i].must || w.must
		}
	}
	slices.SortStableFunc(wants, func(a, b want) int {
		return cmp.Or(strings.Compare(string(a.to), string(b.to)), strings.Compare(string(a.entry.id), string(b.entry.id)))
	})
	return wants
}
