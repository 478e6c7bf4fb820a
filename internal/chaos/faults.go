package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"docspace-router/internal/portalsim"
)

// call is a kind of request that faults are aimed at.
type call struct{ method, path string }

var (
	put     = call{http.MethodPut, "files/fileops/{id}$"}
	targets = []call{
		put, put, put,
		{http.MethodGet, "files/fileops$"},   // the gateway follows an operation
		{http.MethodGet, "files/{id}$"},      // it looks into a destination
		{http.MethodGet, "files/file/{id}$"}, // it asks for an entry
		{http.MethodGet, "files/folder"},     // it asks for a folder or its place
		{http.MethodGet, "people/@self"},
		{"", ""},
	}
)

// drawFault draws a fault and its name in the table.
func drawFault(rng *rand.Rand, unseen bool) (name string, f portalsim.Fault) {
	f.After, f.Times = rng.IntN(4), 1+rng.IntN(4)
	if chance(rng, 50) {
		return drawOperationFault(rng, f, unseen)
	}
	at := pick(rng, targets)
	f.Method, f.Path = at.method, at.path
	switch rng.IntN(10) {
	case 0:
		f.Kind, f.Message = portalsim.Refuse, "Something went wrong"
		return "refuse 500", f
	case 1:
		f.Kind, f.Status = portalsim.Refuse, pick(rng, []int{502, 503, 504})
		return "refuse 50x by a proxy", f
	case 2:
		f.Kind = portalsim.Reset
		return "reset", f
	case 3:
		f.Kind, f.Delay = portalsim.Late, time.Duration(50+rng.IntN(400))*time.Millisecond
		return "late", f
	case 4:
		f.Kind = portalsim.Garbage
		return "garbage", f
	case 5:
		f.Kind, f.Truncate = portalsim.Garbage, true
		return "half an answer", f
	case 6, 7:
		f.Kind = portalsim.LoseAnswer
		return "lose answer", f
	case 8:
		f.Kind = portalsim.RateLimit
		if chance(rng, 30) {
			f.RetryAfter = time.Second
		}
		f.Times = min(f.Times, 2)
		return "rate limit", f
	default:
		f.Kind = portalsim.Refuse
		f.Status = http.StatusInternalServerError
		return "refuse 500 without JSON", f
	}
}

// drawOperationFault draws a fault of an operation. One that is unseen is beyond the reach of the
// portal's cleaner, and if it stood still as well it would do so for ever, which on DocSpace nothing
// does: a round has one kind of fault or the other.
func drawOperationFault(rng *rand.Rand, f portalsim.Fault, unseen bool) (string, portalsim.Fault) {
	f.Item = rng.IntN(4)
	n := rng.IntN(8)
	if unseen && (n == 5 || n == 6) {
		n = 0
	}
	switch n {
	case 0:
		if !unseen {
			f.Kind = portalsim.LoseOperation
			return "operation lost", f
		}
		f.Kind, f.Ran = portalsim.LoseOperation, true
		return "operation unseen", f
	case 1:
		f.Kind = portalsim.LoseOperation
		return "operation lost", f
	case 2:
		f.Kind = portalsim.LoseError
		return "error erased", f
	case 3:
		f.Kind, f.Error = portalsim.FailItem, "Something went wrong"
		return "item fails", f
	case 4:
		f.Kind = portalsim.FailItem
		return "item fails silently", f
	case 5:
		f.Kind, f.Within = portalsim.Expire, rng.IntN(4)
		return "operation dropped", f
	case 6:
		f.Kind, f.Undone = portalsim.Expire, true
		return "operation dropped, item undone", f
	default:
		f.Kind = portalsim.FinishInCall
		return "finished in call", f
	}
}

// trouble draws what goes wrong over the round.
func (w *round) trouble() []event {
	rng := w.rng
	var events []event
	moment := func() time.Duration { return time.Duration(rng.Int64N(int64(w.spread))) }
	for range rng.IntN(14) {
		name, f := drawFault(rng, w.unseen)
		events = append(events, event{at: moment(), what: fmt.Sprintf("fault %s %s %s", name, f.Method, f.Path), do: func() { w.inject(name, f) }})
	}
	if chance(rng, 20) {
		events = append(events, w.outage(moment(), time.Duration(100+rng.IntN(500))*time.Millisecond)...)
	}
	if chance(rng, 15) {
		events = append(events, w.revocation(moment(), time.Duration(100+rng.IntN(300))*time.Millisecond)...)
	}
	if chance(rng, 20) {
		events = append(events, w.badRules(moment(), time.Duration(200+rng.IntN(600))*time.Millisecond)...)
	}
	if w.options.server != nil && chance(rng, 30) {
		events = append(events, w.databaseTrouble(moment(), time.Duration(rng.IntN(500))*time.Millisecond)...)
	}
	if w.doomed != nil {
		events = append(events, event{at: moment(), what: "fault delete destination", do: func() {
			w.count("delete destination")
			if _, ok := w.portal.FolderByID(w.doomed.id); ok {
				w.portal.DeleteFolder(w.doomed.id, w.owner)
			}
		}})
	}
	if chance(rng, 10) {
		events = append(events, event{at: moment(), what: "fault hang", do: func() {
			w.inject("hang", portalsim.Fault{Kind: portalsim.Hang, Method: put.method, Path: put.path, Times: 1})
		}})
		// The gateway waits a minute for an answer, and when it is to stop for as long as it may
		// take. Nobody wants to watch that: it is killed.
		w.hangs = true
	}
	for range pick(rng, []int{0, 1, 1, 2, 3, 5}) {
		events = append(events, w.kill(moment(), time.Duration(rng.IntN(400))*time.Millisecond)...)
	}
	return inOrder(events)
}

func (w *round) inject(name string, f portalsim.Fault) {
	w.count(name)
	w.undo = append(w.undo, w.portal.Inject(f))
}

// outage makes the portal answer nothing but 503 for a while.
func (w *round) outage(at, lasts time.Duration) []event {
	var end func()
	return []event{
		{at: at, what: "fault outage", do: func() {
			w.count("outage")
			end = w.portal.Inject(portalsim.Fault{Kind: portalsim.Refuse, Status: http.StatusServiceUnavailable})
		}},
		{at: at + lasts, what: "end of outage", do: func() { end() }},
	}
}

// revocation revokes the gateway's key and puts a new one into its file after a while.
func (w *round) revocation(at, lasts time.Duration) []event {
	return []event{
		{at: at, what: "fault revoke key", do: func() { w.count("revoke key"); w.portal.RevokeKey(w.key) }},
		{at: at + lasts, what: "new key", do: func() { w.key = w.newKey(); w.write(keyFile, w.key) }},
	}
}

// badRules breaks the rules file and mends it after a while.
func (w *round) badRules(at, lasts time.Duration) []event {
	return []event{
		{at: at, what: "fault bad rules", do: func() { w.count("bad rules file"); w.write("rules.yaml", "version: 1\nrules: nonsense\n") }},
		{at: at + lasts, what: "good rules", do: func() { w.write("rules.yaml", rulesText(w.url, w.rules)+"# mended\n") }},
	}
}
