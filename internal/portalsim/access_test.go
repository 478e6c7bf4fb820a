package portalsim

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAuthentication(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	revoked := d.p.AddKey(d.gateway)
	d.p.RevokeKey(revoked)
	expired := d.p.AddKey(d.gateway)
	d.p.ExpireKey(expired, time.Now().Add(-time.Second))
	tests := map[string]struct {
		header string
		status int
	}{
		"a key":                 {"Bearer " + d.key, 200},
		"no header":             {"", 401},
		"a key without Bearer":  {d.key, 401},
		"an unknown key":        {"Bearer sk-" + strings.Repeat("0", 64), 401},
		"another kind of token": {"Bearer eyJhbGciOi", 401},
		"a revoked key":         {"Bearer " + revoked, 401},
		"an expired key":        {"Bearer " + expired, 401},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req, _ := http.NewRequest("GET", d.url+apiPrefix+"people/@self", nil)
			if test.header != "" {
				req.Header.Set("Authorization", test.header)
			}
			resp, err := d.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != test.status || test.status == 401 && resp.ContentLength != 0 {
				t.Errorf("status %d, %d bytes", resp.StatusCode, resp.ContentLength)
			}
		})
	}
	if len(d.key) != 3+64 || !strings.HasPrefix(d.key, "sk-") {
		t.Errorf("key %s", d.key)
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{})
	folder := "files/" + string(d.room)
	create := "files/folder/" + string(d.room)
	calls := map[string]struct{ method, path, body string }{
		"rooms":  {"GET", "files/rooms", ""},
		"files":  {"GET", folder, ""},
		"write":  {"POST", create, `{"title":"x"}`},
		"self":   {"GET", "people/@self", ""},
		"people": {"GET", "people/" + string(d.ann), ""},
		"hooks":  {"GET", "settings/webhook", ""},
		"portal": {"GET", "portal", ""},
		"key":    {"GET", "keys/@self", ""},
		"tag":    {"PUT", "files/rooms/" + string(d.room) + "/tags", `{"names":["x"]}`},
	}
	tests := map[string]struct {
		scopes  []string
		allowed string
	}{
		"none is everything":                  {nil, "rooms files write self people hooks portal key tag"},
		"a star is everything":                {[]string{"*"}, "rooms files write self people hooks portal key tag"},
		"files:read":                          {[]string{"files:read"}, "files key"},
		"files:write does not cover rooms":    {[]string{"files:write"}, "files write key"},
		"rooms:read":                          {[]string{"rooms:read"}, "rooms key"},
		"rooms:write":                         {[]string{"rooms:write"}, "rooms tag key"},
		"accounts.self:read":                  {[]string{"accounts.self:read"}, "self key"},
		"accounts:read":                       {[]string{"accounts:read"}, "people key"},
		"*:read reads all, webhooks included": {[]string{"*:read"}, "rooms files self people hooks portal key"},
		"*:write does all":                    {[]string{"*:write"}, "rooms files write self people hooks portal key tag"},
		"a gateway's own":                     {[]string{"files:write", "rooms:read", "accounts.self:read"}, "rooms files write self key"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limited := d.as(d.p.AddKey(d.gateway, test.scopes...))
			for what, c := range calls {
				var payload any
				if c.body != "" {
					payload = c.body
				}
				a := limited.call(c.method, c.path, payload)
				want := http.StatusForbidden
				if strings.Contains(" "+test.allowed+" ", " "+what+" ") {
					want = http.StatusOK
				}
				if a.Status != want || want == 403 && a.Body != "" {
					t.Errorf("%s: status %d, want %d: %s", what, a.Status, want, a.Body)
				}
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{TenantID: 7})
	self := read[struct {
		ID                          UserID
		DisplayName, Email          string
		IsAdmin, IsOwner, IsVisitor bool
	}](t, d.call("GET", "people/@self", nil))
	if self.ID != d.gateway || self.Email != "gateway@example.com" || self.IsAdmin || self.IsVisitor {
		t.Errorf("self %+v", self)
	}
	scoped := d.as(d.p.AddKey(d.gateway, "files:read"))
	key := read[struct {
		Permissions []string
		IsActive    bool
	}](t, scoped.call("GET", "keys/@self", nil))
	if len(key.Permissions) != 1 || !key.IsActive {
		t.Errorf("key %+v", key)
	}
	if a := d.as("").call("GET", "settings", nil); a.Status != 200 {
		t.Errorf("settings are anonymous: status %d", a.Status)
	}
	if got := read[map[string]any](t, d.call("GET", "portal", nil)); len(got) != 1 || got["tenantId"] != 7.0 {
		t.Errorf("portal %v", got)
	}
	admin := d.as(d.p.AddKey(d.p.AddUser(User{DisplayName: "R", Owner: true})))
	if got := read[map[string]any](t, admin.call("GET", "portal", nil)); len(got) < 2 {
		t.Errorf("portal %v", got)
	}
	if a := d.call("GET", "people/nobody", nil); a.Status != 404 {
		t.Errorf("status %d", a.Status)
	}
}

func TestPortalStates(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		state         State
		api, settings int
	}{
		"active":    {Active, 200, 200},
		"unpaid":    {Unpaid, 402, 200},
		"suspended": {Suspended, 404, 200},
		"restoring": {Restoring, 403, 403},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, Options{})
			d.p.SetState(test.state)
			a, s := d.call("GET", "people/@self", nil), d.call("GET", "settings", nil)
			if a.Status != test.api || s.Status != test.settings {
				t.Errorf("API %d, settings %d", a.Status, s.Status)
			}
			if test.api != 200 && a.Body != "" {
				t.Errorf("body %q", a.Body)
			}
		})
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	plain := func(t *testing.T, a answer, limit int) {
		t.Helper()
		if a.Status != 429 || a.Body != "" || a.Header.Get("Retry-After") != "" || a.Header.Get("X-RateLimit-Reset") != "" {
			t.Errorf("status %d, headers %v, body %q", a.Status, a.Header, a.Body)
		}
		if a.Header.Get("X-RateLimit-Limit") != strconv.Itoa(limit) || a.Header.Get("X-RateLimit-Remaining") != "0" {
			t.Errorf("headers %v", a.Header)
		}
	}
	inBubble := func(t *testing.T, l Limits, test func(t *testing.T, d *desk)) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { test(t, newBubbleDesk(t, Options{Limits: l})) })
	}
	t.Run("requests slide over a minute, without Retry-After", func(t *testing.T) {
		inBubble(t, Limits{}, func(t *testing.T, d *desk) {
			for i := range 1500 {
				if i == 750 {
					time.Sleep(30 * time.Second)
				}
				if a := d.call("GET", "people/@self", nil); a.Status != 200 {
					t.Fatalf("request %d: status %d", i, a.Status)
				}
			}
			plain(t, d.call("GET", "people/@self", nil), 1500)
			second := d.as(d.p.AddKey(d.gateway))
			plain(t, second.call("GET", "people/@self", nil), 1500) // all keys of a user share
			if a := d.as(d.p.AddKey(d.ann)).call("GET", "people/@self", nil); a.Status != 200 {
				t.Errorf("another user: status %d", a.Status)
			}
			time.Sleep(31 * time.Second)
			if a := d.call("GET", "people/@self", nil); a.Status != 200 {
				t.Errorf("half a minute later: status %d", a.Status)
			}
			if got := d.p.Calls().Limited; got != 2 {
				t.Errorf("%d answers of 429 counted", got)
			}
		})
	})
	t.Run("writes are counted by the day, with Retry-After", func(t *testing.T) {
		inBubble(t, Limits{WritesPerDay: 3}, func(t *testing.T, d *desk) {
			write := func() answer { return d.call("POST", "files/folder/"+string(d.room), `{"title":"x"}`) }
			for range 3 {
				write()
				time.Sleep(time.Hour)
			}
			d.call("DELETE", "files/rooms/"+string(d.room)+"/tags", `{"names":[]}`) // not counted
			a := write()
			if a.Status != 429 || a.Body != "" || a.Header.Get("Retry-After") != strconv.Itoa(21*3600) {
				t.Errorf("status %d, headers %v", a.Status, a.Header)
			}
			if got, want := a.Header.Get("X-RateLimit-Reset"), strconv.FormatInt(time.Now().Add(21*time.Hour).Unix(), 10); got != want {
				t.Errorf("reset %s, want %s", got, want)
			}
			if r := d.call("GET", "people/@self", nil); r.Status != 200 {
				t.Errorf("reading goes on: status %d", r.Status)
			}
			time.Sleep(21 * time.Hour)
			if a := write(); a.Status != 200 {
				t.Errorf("a day after the first: status %d", a.Status)
			}
		})
	})
	for name, test := range map[string]struct {
		method, path string
		limits       Limits
		most         int
	}{
		"parallel reads":             {"GET", "people/@self", Limits{}, 50},
		"parallel writes":            {"PUT", "settings/webhook/retry", Limits{SensitiveCalls: -1}, 15},
		"parallel reads, configured": {"GET", "people/@self", Limits{ParallelReads: 2}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, test.limits, func(t *testing.T, d *desk) {
				d.p.Inject(Fault{Kind: Late, Delay: time.Second})
				var group sync.WaitGroup
				for range test.most {
					group.Go(func() {
						if a, err := d.try(context.Background(), test.method, test.path, `{"ids":[]}`); err != nil || a.Status != 200 {
							t.Errorf("status %d, %v", a.Status, err)
						}
					})
				}
				synctest.Wait()
				plain(t, d.call(test.method, test.path, `{"ids":[]}`), test.most)
				group.Wait()
				if a := d.call(test.method, test.path, `{"ids":[]}`); a.Status != 200 {
					t.Errorf("afterwards: status %d", a.Status)
				}
				calls := d.p.Calls()
				if got := max(calls.MaxParallelReads, calls.MaxParallelWrites); got != test.most+1 {
					t.Errorf("%d seen at once", got)
				}
			})
		})
	}
	t.Run("negative is unlimited", func(t *testing.T) {
		inBubble(t, Limits{RequestsPerMinute: -1, WritesPerDay: -1}, func(t *testing.T, d *desk) {
			for i := range 1600 {
				if a := d.call("PUT", "files/fileops/terminate", nil); a.Status != 200 {
					t.Fatalf("request %d: status %d", i, a.Status)
				}
			}
		})
	})
	t.Run("strangers are told apart by address", func(t *testing.T) {
		inBubble(t, Limits{RequestsPerMinute: 1}, func(t *testing.T, d *desk) {
			stranger := d.as("")
			if a := stranger.call("GET", "settings", nil); a.Status != 200 {
				t.Errorf("status %d", a.Status)
			}
			plain(t, stranger.call("GET", "settings", nil), 1)
		})
	})
}
