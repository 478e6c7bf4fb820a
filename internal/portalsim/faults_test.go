package portalsim

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFaultsOfRequests(t *testing.T) {
	t.Parallel()
	create := func(d *desk, ctx context.Context) (answer, error) {
		return d.try(ctx, "POST", "files/folder/"+string(d.room), `{"title":"made"}`)
	}
	tests := map[string]struct {
		fault Fault
		check func(t *testing.T, a answer, err error)
		done  bool // the folder was made all the same
	}{
		"refuse": {Fault{Kind: Refuse}, func(t *testing.T, a answer, err error) {
			if a.Status != 500 || a.Body != "" {
				t.Errorf("%d %q %v", a.Status, a.Body, err)
			}
		}, false},
		"refuse with an error": {Fault{Kind: Refuse, Status: 403, Message: "Access denied", Type: "T"}, func(t *testing.T, a answer, err error) {
			if a.Status != 403 || a.Error.Message != "Access denied" || a.Error.Type != "T" || a.StatusCode != 403 {
				t.Errorf("%d %s %v", a.Status, a.Body, err)
			}
		}, false},
		"refuse with a page": {Fault{Kind: Refuse, Status: 502, Body: "<h1>Bad gateway</h1>"}, func(t *testing.T, a answer, err error) {
			if a.Status != 502 || a.Body != "<h1>Bad gateway</h1>" {
				t.Errorf("%d %s %v", a.Status, a.Body, err)
			}
		}, false},
		"hang": {Fault{Kind: Hang}, func(t *testing.T, _ answer, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		}, false},
		"reset": {Fault{Kind: Reset}, func(t *testing.T, _ answer, err error) {
			if err == nil {
				t.Error("answered")
			}
		}, false},
		"late": {Fault{Kind: Late, Delay: 10 * time.Millisecond}, func(t *testing.T, a answer, err error) {
			if a.Status != 200 {
				t.Errorf("%d %v", a.Status, err)
			}
		}, true},
		"too late": {Fault{Kind: Late, Delay: time.Hour}, func(t *testing.T, _ answer, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		}, true},
		"garbage": {Fault{Kind: Garbage}, func(t *testing.T, a answer, err error) {
			if a.Status != 200 || json.Valid([]byte(a.Body)) || !strings.Contains(a.Body, "<html>") {
				t.Errorf("%d %s %v", a.Status, a.Body, err)
			}
		}, false},
		"garbage of one's own": {Fault{Kind: Garbage, Body: "nope"}, func(t *testing.T, a answer, _ error) {
			if a.Status != 200 || a.Body != "nope" {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		}, false},
		"truncated": {Fault{Kind: Garbage, Truncate: true}, func(t *testing.T, a answer, err error) {
			if a.Status != 200 || json.Valid([]byte(a.Body)) || !strings.HasPrefix(a.Body, "{") {
				t.Errorf("%d %s %v", a.Status, a.Body, err)
			}
		}, true},
		"lost answer": {Fault{Kind: LoseAnswer}, func(t *testing.T, _ answer, err error) {
			if err == nil {
				t.Error("answered")
			}
		}, true},
		"rate limit": {Fault{Kind: RateLimit}, func(t *testing.T, a answer, _ error) {
			if a.Status != 429 || a.Body != "" || a.Header.Get("Retry-After") != "" {
				t.Errorf("%d %q %v", a.Status, a.Body, a.Header)
			}
		}, false},
		"rate limit with Retry-After": {Fault{Kind: RateLimit, RetryAfter: 90 * time.Second}, func(t *testing.T, a answer, _ error) {
			if a.Status != 429 || a.Header.Get("Retry-After") != "90" {
				t.Errorf("%d %v", a.Status, a.Header)
			}
		}, false},
		"revoked key": {Fault{Kind: RevokeKey}, func(t *testing.T, a answer, _ error) {
			if a.Status != 401 || a.Body != "" {
				t.Errorf("%d %q", a.Status, a.Body)
			}
		}, false},
	}
	for name, test := range tests {
		for transport, run := range map[string]func(t *testing.T, test func(t *testing.T, d *desk)){
			"network": func(t *testing.T, test func(t *testing.T, d *desk)) { test(t, newDesk(t, Options{})) },
			"memory": func(t *testing.T, test func(t *testing.T, d *desk)) {
				synctest.Test(t, func(t *testing.T) { test(t, newBubbleDesk(t, Options{})) })
			},
		} {
			t.Run(name+", over "+transport, func(t *testing.T) {
				t.Parallel()
				run(t, func(t *testing.T, d *desk) {
					d.p.Inject(test.fault)
					patience := 20 * time.Second
					if test.fault.Kind == Hang || test.fault.Delay > patience {
						patience = 250 * time.Millisecond
					}
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					defer cancel()
					a, err := create(d, ctx)
					test.check(t, a, err)
					if test.done {
						eventually(t, func() bool { return len(d.p.List(d.room)) == 1 })
					} else if len(d.p.List(d.room)) != 0 {
						t.Error("the folder was made")
					}
				})
			})
		}
	}
}

func TestWhichRequestsAFaultMeets(t *testing.T) {
	t.Parallel()
	statuses := func(d *desk, calls ...string) []int {
		var list []int
		for _, c := range calls {
			method, path, _ := strings.Cut(c, " ")
			list = append(list, d.call(method, path, nil).Status)
		}
		return list
	}
	tests := map[string]struct {
		fault Fault
		calls []string
		want  []int
	}{
		"any":                {Fault{}, []string{"GET people/@self", "GET files/rooms"}, []int{500, 500}},
		"by method":          {Fault{Method: "PUT"}, []string{"GET people/@self", "PUT files/fileops/terminate"}, []int{200, 500}},
		"by prefix":          {Fault{Path: "files/rooms"}, []string{"GET people/@self", "GET files/rooms", "GET files/rooms/9"}, []int{200, 500, 500}},
		"with the API path":  {Fault{Path: "/api/2.0/people"}, []string{"GET people/@self", "GET files/rooms"}, []int{500, 200}},
		"exactly":            {Fault{Path: "files/fileops$"}, []string{"GET files/fileops", "GET files/fileops/1"}, []int{500, 200}},
		"by pattern":         {Fault{Path: "files/folder/{id}/path"}, []string{"GET files/folder/1/path", "GET files/folder/1"}, []int{500, 200}},
		"by star":            {Fault{Path: "files/*/1"}, []string{"GET files/folder/1", "GET files/rooms"}, []int{500, 200}},
		"after the first":    {Fault{After: 1}, []string{"GET settings", "GET settings", "GET settings"}, []int{200, 500, 500}},
		"once":               {Fault{Times: 1}, []string{"GET settings", "GET settings"}, []int{500, 200}},
		"the second, once":   {Fault{After: 1, Times: 1}, []string{"GET settings", "GET settings", "GET settings"}, []int{200, 500, 200}},
		"segments are whole": {Fault{Path: "files/file"}, []string{"GET files/fileops"}, []int{200}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, Options{})
			test.fault.Kind = Refuse
			remove := d.p.Inject(test.fault)
			if diff := cmp.Diff(test.want, statuses(d, test.calls...)); diff != "" {
				t.Error(diff)
			}
			remove()
			if got := statuses(d, "GET settings"); got[0] != 200 {
				t.Error("a removed fault still acts")
			}
		})
	}
}

func TestFaultsOfOperations(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		faults []Fault
		check  func(t *testing.T, d *desk, started wireOperation)
		want   []string // in the destination
	}{
		"lost before it ran": {[]Fault{{Kind: LoseOperation}}, func(t *testing.T, d *desk, op wireOperation) {
			if op.ID == "" || op.Status != 0 || len(d.poll("files/fileops?id="+op.ID)) != 0 {
				t.Errorf("operation %+v", op)
			}
		}, nil},
		"lost, but it ran": {[]Fault{{Kind: LoseOperation, Ran: true}}, func(t *testing.T, d *desk, op wireOperation) {
			d.ended()
			if len(d.poll("files/fileops?id="+op.ID)) != 0 {
				t.Error("it can be seen")
			}
		}, []string{"a", "b", "c"}},
		"an item fails": {[]Fault{{Kind: FailItem, Item: 1, Error: "Disk on fire"}}, func(t *testing.T, d *desk, op wireOperation) {
			got := d.follow(op.ID)
			if got.Error != "Disk on fire" || !got.Finished || len(got.Files) != 2 || got.Processed != "2" {
				t.Errorf("operation %+v", got)
			}
		}, []string{"a", "c"}},
		"an item fails and nobody says so": {[]Fault{{Kind: FailItem, Item: 2}, {Kind: LoseError}}, func(t *testing.T, d *desk, op wireOperation) {
			if got := d.follow(op.ID); got.Error != "" || !got.Finished || len(got.Files) != 2 {
				t.Errorf("operation %+v", got)
			}
		}, []string{"a", "b"}},
		"an error is lost": {[]Fault{{Kind: FailItem, Item: 0, Error: "x"}, {Kind: LoseError}}, func(t *testing.T, d *desk, op wireOperation) {
			if got := d.follow(op.ID); got.Error != "" {
				t.Errorf("operation %+v", got)
			}
		}, []string{"b", "c"}},
		"it expires at an item, which is done": {[]Fault{{Kind: Expire, Item: 1}}, func(t *testing.T, d *desk, op wireOperation) {
			time.Sleep(2 * time.Minute)
			if len(d.poll("files/fileops?id="+op.ID)) != 0 {
				t.Error("still there")
			}
		}, []string{"a", "b"}},
		"it expires at an item, which is not": {[]Fault{{Kind: Expire, Item: 1, Undone: true}}, func(t *testing.T, d *desk, op wireOperation) {
			time.Sleep(30 * time.Second)
			if got := d.poll("files/fileops?id=" + op.ID); len(got) != 1 || got[0].Status != 1 || got[0].Processed != "1" {
				t.Errorf("before its time: %+v", got)
			}
			time.Sleep(2 * time.Minute)
		}, []string{"a"}},
		"it finishes within the call": {[]Fault{{Kind: FinishInCall}}, func(t *testing.T, d *desk, op wireOperation) {
			if !op.Finished || len(op.Files) != 3 || len(d.poll("files/fileops?id="+op.ID)) != 0 {
				t.Errorf("the answer holds the result, and nothing else ever will: %+v", op)
			}
		}, []string{"a", "b", "c"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newBubbleDesk(t, Options{})
				for _, f := range test.faults {
					f.Times = 1
					d.p.Inject(f)
				}
				if a := d.call("GET", "people/@self", nil); a.Status != http.StatusOK {
					t.Errorf("other calls are not met: %d", a.Status)
				}
				var files []ID
				for _, title := range []string{"a", "b", "c"} {
					files = append(files, d.p.AddFile(d.room, File{Title: title, By: d.ann}))
				}
				test.check(t, d, d.transfer("copy", body{"fileIds": files, "destFolderId": d.archive}))
				if diff := cmp.Diff(test.want, names(d.p.List(d.archive))); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestALostAnswerLeavesTheOperationRunning(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	file := d.p.AddFile(d.room, File{Title: "a", By: d.ann})
	d.p.Inject(Fault{Kind: LoseAnswer, Method: "PUT", Path: "files/fileops/copy", Times: 1})
	request := body{"fileIds": []ID{file}, "destFolderId": d.archive, "conflictResolveType": "Duplicate", "returnSingleOperation": true}
	if _, err := d.try(context.Background(), "PUT", "files/fileops/copy", request); err == nil {
		t.Fatal("answered")
	}
	d.ended()
	read[[]wireOperation](t, d.call("PUT", "files/fileops/copy", request))
	d.ended()
	if diff := cmp.Diff([]string{"a", "a (1)"}, names(d.p.List(d.archive))); diff != "" {
		t.Errorf("repeating it blindly makes two:\n%s", diff)
	}
	ops := d.p.Operations()
	if len(ops) != 2 || ops[0].Seen || !ops[0].Single || len(ops[0].Results) != 1 {
		t.Errorf("operations %+v", ops)
	}
}
