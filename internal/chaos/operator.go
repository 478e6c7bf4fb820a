package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// verb is what an operator asks for.
type verb string

const (
	pausing    verb = "pause"
	resuming   verb = "resume"
	cancelling verb = "cancel"
	retrying   verb = "retry"
	replaying  verb = "replay"
	reloading  verb = "reload"
)

// answer is what the operator learned of a request.
type answer string

const (
	agreed  answer = "agreed"  // it is done
	refused answer = "refused" // nothing was done
	unknown answer = "unknown" // the process died over it, or failed: it may have been done, in part
)

// request is one request that changes something.
type request struct {
	verb         verb
	method, path string
	body         any
	covers       func(transfer) bool // of cancel and retry: what may be acted on
	key          string              // of pause and resume: the scope and name
	until        time.Time           // of pause

	author          string // its own, which what it does is marked with
	asked, answered time.Time
	answer          answer
	acted           int // of cancel and retry that were agreed to: how many transfers
}

// operator steers the gateway while all else goes on, through the admin API.
type operator struct {
	client *http.Client

	mu       sync.Mutex // guards requests
	requests []*request
}

// act is something the operator decides to do.
type act struct {
	what   string
	at     int // the replica that is asked first
	crowd  int // how many ask for each thing at once, each another replica
	choose func(ctx context.Context, api adminAPI) ([]request, error)
}

// The portal's name in the rules file.
const portalName = "acme"

// allAfternoon is how long a pause is asked for that somebody will end.
const allAfternoon = time.Hour

// steering draws what the operator does over the round.
func (w *round) steering() []event {
	rng := w.rng
	if chance(rng, 10) {
		return nil
	}
	var events []event
	moment := func() time.Duration { return time.Duration(rng.Int64N(int64(w.spread))) }
	for range 4 + rng.IntN(12) {
		at := moment()
		if chance(rng, 45) {
			events = append(events, w.planPause(at)...)
			continue
		}
		events = append(events, w.planAct(at, w.drawAct(rng.IntN(100))))
	}
	// Once all is done, nothing is to be done again.
	if chance(rng, 40) {
		w.encore = []act{w.drawReplay(5 + rng.IntN(40))}
	}
	return inOrder(events)
}

func (w *round) planAct(at time.Duration, a act) event {
	return event{at: at, what: a.what, do: func() { w.perform(context.Background(), a) }}
}

// several is how many ask at once.
func (w *round) several() int {
	if chance(w.rng, 25) {
		return 2 + w.rng.IntN(2)
	}
	return 1
}

func (w *round) drawAct(n int) act {
	switch {
	case n < 18:
		return w.drawCancel(1)
	case n < 34:
		return w.drawCancel(2 + w.rng.IntN(30))
	case n < 45:
		return w.drawCancelMany()
	case n < 53:
		return w.many(retrying, "failed ones", map[string]any{"all": true}, func(transfer) bool { return true })
	case n < 68:
		return w.drawRetryCancelled()
	case n < 92:
		return w.drawReplay(1 + w.rng.IntN(8))
	default:
		return act{what: "reload", at: w.rng.IntN(w.options.replicas), crowd: w.several(), choose: just(request{
			verb: reloading, method: http.MethodPost, path: "/-/reload",
		})}
	}
}

func just(r request) func(context.Context, adminAPI) ([]request, error) {
	return func(context.Context, adminAPI) ([]request, error) { return []request{r}, nil }
}

// planPause holds a rule or the portal. Some pauses end by themselves; the others would last for
// long, but somebody ends them: what one of them went on to hold would never be done. Often
// somebody cancels some of what is held, and may think better of it.
func (w *round) planPause(at time.Duration) []event {
	rng := w.rng
	scope, name := "rule", pick(rng, w.rules).name
	if chance(rng, 35) {
		scope, name = "portal", portalName
	}
	lasts := time.Duration(200+rng.IntN(1200)) * time.Millisecond
	key := scope + " " + name
	hold := func(d time.Duration) act {
		return act{what: fmt.Sprintf("pause %s for %s", key, d), at: rng.IntN(w.options.replicas), crowd: w.several(), choose: func(context.Context, adminAPI) ([]request, error) {
			until := time.Now().Add(d).Truncate(time.Millisecond)
			return []request{{
				verb: pausing, method: http.MethodPost, path: "/api/v1/pauses", key: key, until: until,
				body: map[string]any{"scope": scope, "name": name, "until": until, "reason": "we look into it"},
			}}, nil
		}}
	}
	var events []event
	switch n := rng.IntN(100); {
	case n < 35: // it ends by itself
		events = append(events, w.planAct(at, hold(lasts)))
	case n < 80: // somebody ends it
		events = append(events, w.planAct(at, hold(allAfternoon)),
			w.planAct(at+lasts, act{what: "resume " + key, at: rng.IntN(w.options.replicas), crowd: w.several(), choose: just(resumption(key))}))
	default: // a shorter one takes its place
		events = append(events, w.planAct(at, hold(allAfternoon)), w.planAct(at+lasts/2, hold(lasts/2)))
	}
	if chance(rng, 60) {
		for i := range time.Duration(1 + rng.IntN(3)) {
			events = append(events, w.planAct(at+lasts*(i+1)/5, w.drawAct(rng.IntN(45))))
		}
		events = append(events, w.planAct(at+lasts*time.Duration(2+rng.IntN(10))/8, w.drawRetryCancelled()))
	}
	return events
}

func resumption(key string) request {
	return request{verb: resuming, method: http.MethodDelete, path: "/api/v1/pauses/" + strings.Replace(key, " ", "/", 1), key: key}
}

// drawCancel cancels some of what waits by ids, and asks for what is being sent as well: that it is
// refused is for the gateway to know.
func (w *round) drawCancel(many int) act {
	n, states := w.rng.IntN(1<<20), pick(w.rng, []string{"sending", "blocked,queued,sending"})
	return act{what: fmt.Sprintf("cancel %d that are %s", many, states), at: w.rng.IntN(w.options.replicas), crowd: w.several(), choose: func(ctx context.Context, api adminAPI) ([]request, error) {
		list, err := pages[transfer](ctx, api, "transfers", "state", states)
		if err != nil || len(list) == 0 {
			return nil, err
		}
		if many == 1 {
			return []request{one(cancelling, list[n%len(list)])}, nil
		}
		from := n % len(list)
		var ids []int64
		for _, t := range list[from:min(len(list), from+many)] {
			ids = append(ids, t.ID)
		}
		return []request{{
			verb: cancelling, method: http.MethodPost, path: "/api/v1/transfers/cancel", body: map[string]any{"ids": ids},
			covers: func(t transfer) bool { return slices.Contains(ids, t.ID) },
		}}, nil
	}}
}

func one(v verb, t transfer) request {
	return request{
		verb: v, method: http.MethodPost, path: fmt.Sprintf("/api/v1/transfers/%d/%s", t.ID, v),
		covers: func(other transfer) bool { return other.ID == t.ID },
	}
}

// many acts on all of a filter.
func (w *round) many(v verb, what string, filter map[string]any, covers func(transfer) bool) act {
	return act{what: fmt.Sprintf("%s %s", v, what), at: w.rng.IntN(w.options.replicas), crowd: w.several(), choose: just(request{
		verb: v, method: http.MethodPost, path: fmt.Sprintf("/api/v1/transfers/%s", v), body: filter, covers: covers,
	})}
}

func (w *round) drawCancelMany() act {
	switch rule := pick(w.rng, w.rules); w.rng.IntN(5) {
	case 0:
		return w.many(cancelling, "all", map[string]any{"all": true}, func(transfer) bool { return true })
	case 1:
		return w.many(cancelling, "invoices", map[string]any{"q": "INVOICE"}, func(t transfer) bool {
			return strings.Contains(strings.ToLower(t.Title), "invoice")
		})
	default:
		return w.many(cancelling, "rule "+rule.name, map[string]any{"rule": rule.name}, func(t transfer) bool { return t.Rule == rule.name })
	}
}

// drawRetryCancelled thinks better of what was cancelled: of one transfer, or of all of a rule.
func (w *round) drawRetryCancelled() act {
	n, single, rule := w.rng.IntN(1<<20), chance(w.rng, 40), pick(w.rng, w.rules)
	if !single && w.canComeLate(rule) {
		return w.many(retrying, "cancelled ones of rule "+rule.name, map[string]any{"state": []string{"cancelled"}, "rule": rule.name},
			func(t transfer) bool { return t.Rule == rule.name })
	}
	return act{what: "retry a cancelled one", at: w.rng.IntN(w.options.replicas), crowd: w.several(), choose: func(ctx context.Context, api adminAPI) ([]request, error) {
		list, err := pages[transfer](ctx, api, "transfers", "state", "cancelled")
		list = slices.DeleteFunc(list, func(t transfer) bool { return !w.canComeLate(w.rule(t.Rule)) })
		if err != nil || len(list) == 0 {
			return nil, err
		}
		return []request{one(retrying, list[n%len(list)])}, nil
	}}
}

func (w *round) rule(name string) *rule {
	return w.rules[slices.IndexFunc(w.rules, func(r *rule) bool { return r.name == name })]
}

// canComeLate reports whether the model knows what comes of a rule's transfer that was cancelled and
// is tried again. A copy that was cancelled does not hold the entry's move back, and where the move
// takes it something may overwrite it: then what is copied is another's. Folders merge there.
func (w *round) canComeLate(r *rule) bool {
	return r.action == "move" || !slices.ContainsFunc(w.rules, func(m *rule) bool {
		return m.action == "move" && m.aboutFolders() == r.aboutFolders() && w.overlap(m, r) && (r.aboutFolders() || w.overwritten(m))
	})
}

// overwritten reports whether something may overwrite files where a rule sends them.
func (w *round) overwritten(m *rule) bool {
	return slices.ContainsFunc(w.rules, func(r *rule) bool {
		return r.conflict == "overwrite" && slices.ContainsFunc(r.routes, func(t route) bool {
			return slices.ContainsFunc(m.routes, func(other route) bool { return t.to == other.to })
		})
	})
}

// drawReplay routes stored events again, whatever became of them.
func (w *round) drawReplay(many int) act {
	n := w.rng.IntN(1 << 20)
	return act{what: fmt.Sprintf("replay %d", many), at: w.rng.IntN(w.options.replicas), crowd: w.several(), choose: func(ctx context.Context, api adminAPI) ([]request, error) {
		list, err := pages[routed](ctx, api, "events")
		if err != nil || len(list) == 0 {
			return nil, err
		}
		var out []request
		for i := range many {
			out = append(out, request{
				verb: replaying, method: http.MethodPost, path: fmt.Sprintf("/api/v1/events/%d/replay", list[(n+7*i)%len(list)].ID),
			})
		}
		return out, nil
	}}
}

// perform does what was decided, asking whoever is up.
func (w *round) perform(ctx context.Context, a act) {
	api, ok := w.adminOf(a.at)
	if !ok {
		w.log.add("nobody is up to be asked to %s", a.what)
		return
	}
	list, err := a.choose(ctx, api)
	if err != nil {
		w.log.add("not done: %v", err)
		return
	}
	for _, template := range list {
		var group sync.WaitGroup
		for i := range a.crowd {
			if api, ok := w.adminOf(a.at + i); ok {
				r := template
				w.operator.add(&r)
				group.Go(func() { api.ask(ctx, &r); w.log.add("%s %s %s: %s", r.author, r.method, r.path, r.answer) })
			}
		}
		group.Wait()
	}
}

func (o *operator) add(r *request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = append(o.requests, r)
	r.author = fmt.Sprintf("operator %d", len(o.requests))
}

// adminOf is the admin API of a replica, or of the next one that is up.
func (w *round) adminOf(n int) (adminAPI, bool) {
	for i := range w.replicas {
		if p, _ := w.replicas[(n+i)%len(w.replicas)].life(); p != nil {
			return adminAPI{w.operator.client, p.admin}, true
		}
	}
	return adminAPI{}, false
}

// endShift ends the pauses that would last for long, or may.
func (w *round) endShift(ctx context.Context) error {
	keys := map[string]bool{}
	for _, r := range w.operator.requests {
		switch {
		case r.verb == pausing && r.answer != refused && time.Until(r.until) > allAfternoon/2:
			keys[r.key] = true
		case r.verb == pausing && r.answer == agreed, r.verb == resuming && r.answer != unknown:
			delete(keys, r.key)
		}
	}
	for key := range keys {
		for {
			if api, ok := w.adminOf(0); ok {
				r := resumption(key)
				w.operator.add(&r)
				if api.ask(ctx, &r); r.answer != unknown {
					break
				}
			}
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				return fmt.Errorf("%s is not resumed: %w", key, err)
			}
		}
	}
	return nil
}

// heldStill says what a pause still holds although all are over.
func heldStill(ctx context.Context, api adminAPI) ([]finding, error) {
	var list struct {
		Pauses []struct {
			Scope string    `json:"scope"`
			Name  string    `json:"name"`
			Until time.Time `json:"until"`
		} `json:"pauses"`
	}
	if err := api.get(ctx, "/api/v1/pauses", &list); err != nil {
		return nil, err
	}
	var out []finding
	for _, p := range list.Pauses {
		if time.Until(p.Until) > allAfternoon/2 {
			out = append(out, finding{class: wrong, text: fmt.Sprintf("%s %s was resumed and is paused until %s", p.Scope, p.Name, p.Until)})
		}
	}
	return out, nil
}
