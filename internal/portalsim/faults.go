package portalsim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// FaultKind says what goes wrong.
type FaultKind int

const (
	// Refuse answers Status (default 500) without doing anything. With Message the body is
	// DocSpace's error envelope, else it is Body.
	Refuse FaultKind = iota + 1
	// Hang does nothing and answers nothing until the caller gives up.
	Hang
	// Reset drops the connection without doing anything.
	Reset
	// Late does the work at once and answers after Delay.
	Late
	// Garbage answers 200 with something that is no JSON (Body, by default a page of HTML),
	// without doing anything. With Truncate it does the work and cuts its answer in half.
	Garbage
	// LoseAnswer does the work and then drops the connection.
	LoseAnswer
	// RateLimit answers 429 with an empty body, and with Retry-After if that is set.
	RateLimit
	// RevokeKey revokes the key the request was made with before looking at the request.
	RevokeKey

	// The faults below act on the operation started by PUT files/fileops/copy or move.

	// LoseOperation accepts the call and answers as if all were well, but the operation
	// is never seen again. It does its work unseen if Ran is set, and none otherwise.
	LoseOperation
	// LoseError leaves the operation's error empty, as when a later success erases it.
	LoseError
	// FailItem does not transfer item number Item; Error is the operation's error, if it
	// is not empty.
	FailItem
	// Expire makes no progress at item number Item until the portal drops the operation.
	// That item is then done, unless Undone is set, and the rest silently skipped. With Within
	// the item is a folder, and it is that entry of it, counted from 1, where all stops.
	Expire
	// DeleteDestination deletes the destination between the PUT and the execution.
	DeleteDestination
	// FinishInCall lets the operation finish before the PUT is answered, so that the
	// answer is the one and only sight of its result.
	FinishInCall
)

// Fault is something that goes wrong with some of the requests. Requests are counted one
// by one per fault, in order of arrival after the portal's own limits.
type Fault struct {
	Kind FaultKind
	// Method and Path choose the requests; empty ones match all. Path is compared segment
	// by segment from the front, with or without the API's prefix; "*" and "{id}" stand for
	// any one segment, and a final "$" ends the comparison exactly there. Of faults of
	// operations they choose among the two PUT requests that start operations.
	Method, Path string
	// After requests are let through first; then the fault acts Times times, always if 0.
	After, Times int

	Status        int           // Refuse
	Message, Type string        // Refuse: of the error envelope
	Body          string        // Refuse, Garbage
	Truncate      bool          // Garbage
	Delay         time.Duration // Late
	RetryAfter    time.Duration // RateLimit; also adds X-RateLimit-Reset
	Ran           bool          // LoseOperation
	Item          int           // FailItem, Expire: counted from 0, folders before files
	Error         string        // FailItem
	Undone        bool          // Expire
	Within        int           // Expire
}

// fault is an injected Fault and its count.
type fault struct {
	Fault
	seen, acted int
}

// plan collects the faults that await one operation.
type plan struct {
	lose, loseRan     bool
	loseError         bool
	failures          map[int]string
	stuck             bool
	stuckAt           int
	stuckWithin       int
	stuckUndone       bool
	deleteDestination bool
	finishInCall      bool
}

// Inject adds a fault; remove takes it away again. Faults act in the order of injection,
// and one that answers a request keeps later ones from it.
func (p *Portal) Inject(f Fault) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	injected := &fault{Fault: f}
	p.faults = append(p.faults, injected)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.faults = slices.DeleteFunc(p.faults, func(f *fault) bool { return f == injected })
	}
}

// takeFaults picks the faults that act on a request, and counts it.
func (p *Portal) takeFaults(r *http.Request) []*fault {
	var acting []*fault
	for _, f := range p.faults {
		if !f.matches(r) {
			continue
		}
		f.seen++
		if f.seen <= f.After || f.Times > 0 && f.acted >= f.Times {
			continue
		}
		f.acted++
		acting = append(acting, f)
	}
	return acting
}

func (f *fault) matches(r *http.Request) bool {
	path := strings.TrimPrefix(r.URL.Path, apiPrefix)
	if f.Kind >= LoseOperation && (r.Method != http.MethodPut ||
		path != "files/fileops/copy" && path != "files/fileops/move") {
		return false
	}
	return (f.Method == "" || f.Method == r.Method) && pathMatches(f.Path, path)
}

// pathMatches compares a path below the API's prefix with a fault's pattern.
func pathMatches(pattern, path string) bool {
	pattern, exact := strings.CutSuffix(pattern, "$")
	pattern = strings.Trim(strings.TrimPrefix(pattern, apiPrefix), "/")
	if pattern == "" {
		return true
	}
	want, have := strings.Split(pattern, "/"), strings.Split(strings.Trim(path, "/"), "/")
	if len(have) < len(want) || exact && len(have) != len(want) {
		return false
	}
	for i, segment := range want {
		if segment != "*" && !strings.HasPrefix(segment, "{") && segment != have[i] {
			return false
		}
	}
	return true
}

const garbage = "<!DOCTYPE html><html><head><title>Loading</title></head><body>Please wait.</body></html>"

// actFaults lets faults act on a request, and serves what is left of it.
func (p *Portal) actFaults(w http.ResponseWriter, c *call, acting []*fault, serve func(http.ResponseWriter)) {
	for _, f := range acting {
		inner := serve
		switch f.Kind {
		case Refuse:
			f.refuse(w)
			return
		case Hang:
			p.untilGone(c.r)
			panic(http.ErrAbortHandler)
		case Reset:
			panic(http.ErrAbortHandler)
		case RateLimit:
			(&rejection{retryAfter: f.RetryAfter}).write(w)
			return
		case Garbage:
			if !f.Truncate {
				f.garble(w)
				return
			}
			serve = func(w http.ResponseWriter) {
				answer := &memoryWriter{header: http.Header{}}
				inner(answer)
				answer.body.Truncate(answer.body.Len() / 2)
				answer.replay(w)
			}
		case Late:
			serve = func(w http.ResponseWriter) {
				answer := &memoryWriter{header: http.Header{}}
				inner(answer)
				p.delay(c.r, f.Delay)
				answer.replay(w)
			}
		case LoseAnswer:
			serve = func(http.ResponseWriter) {
				inner(&memoryWriter{header: http.Header{}})
				panic(http.ErrAbortHandler)
			}
		case RevokeKey:
			if c.key != nil {
				p.RevokeKey(c.key.key)
			}
		default:
			c.plan.add(f.Fault)
		}
	}
	serve(w)
}

func (f *fault) refuse(w http.ResponseWriter) {
	status := f.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	if f.Message != "" {
		kind := f.Type
		if kind == "" {
			kind = "System.Exception"
		}
		writeErrorEnvelope(w, status, f.Message, kind)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(f.Body))
}

func (f *fault) garble(w http.ResponseWriter) {
	body := f.Body
	if body == "" {
		body = garbage
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(body))
}

// untilGone blocks until the caller hangs up or the portal closes.
func (p *Portal) untilGone(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-p.ctx.Done():
	}
}

// delay waits for d, but no longer than the caller does.
func (p *Portal) delay(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	case <-p.ctx.Done():
	}
}

func (pl *plan) add(f Fault) {
	switch f.Kind {
	case LoseOperation:
		pl.lose, pl.loseRan = true, f.Ran
	case LoseError:
		pl.loseError = true
	case FailItem:
		if pl.failures == nil {
			pl.failures = map[int]string{}
		}
		pl.failures[f.Item] = f.Error
	case Expire:
		pl.stuck, pl.stuckAt, pl.stuckWithin, pl.stuckUndone = true, f.Item, f.Within, f.Undone
	case DeleteDestination:
		pl.deleteDestination = true
	case FinishInCall:
		pl.finishInCall = true
	}
}
