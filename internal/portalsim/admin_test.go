package portalsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

type wireHook struct {
	ID                  int
	Name, URI, TargetID string
	Enabled, SSL        bool
	Triggers            int64
	SecretKey           *string
	LastSuccessOn       string
	LastFailureOn       string
	LastFailureContent  string
	CreatedOn           string
}

type wireRow struct {
	ID                                                               int
	ConfigID                                                         *int
	ConfigName                                                       string
	Trigger                                                          int64
	RequestHeaders, RequestPayload, ResponseHeaders, ResponsePayload string
	Status                                                           int
	Delivery                                                         string
}

func hookBody(uri string, changes body) body {
	b := body{"name": "router", "uri": uri, "secretKey": "Str0ng!Secret", "enabled": true, "ssl": false, "triggers": 0}
	for key, value := range changes {
		b[key] = value
	}
	return b
}

func TestWebhookAdministration(t *testing.T) {
	t.Parallel()
	rc, uri := listen(t)
	d := newDesk(t, Options{Timings: fast, AllowPrivateTargets: true})

	created := read[wireHook](t, d.call("POST", "settings/webhook", hookBody(uri, body{"triggers": 128 | 256, "targetId": "77"})))
	if created.ID == 0 || !created.Enabled || created.Triggers != 384 || created.SecretKey != nil || created.TargetID != "77" {
		t.Errorf("created %+v", created)
	}
	if got := rc.deliveries(); len(got) != 1 || got[0].Method != "HEAD" || got[0].Header.Get(signatureHeader) != "" {
		t.Errorf("the URL is probed with an unsigned HEAD: %+v", got)
	}
	if a := d.call("POST", "settings/webhook", hookBody(uri, nil)); a.Status != 400 {
		t.Errorf("name and URL are unique together: status %d", a.Status)
	}
	off := read[wireHook](t, d.call("POST", "settings/webhook", body{"name": "off", "uri": uri, "secretKey": "Str0ng!Secret"}))
	if off.Enabled {
		t.Error("enabled is false unless said otherwise")
	}
	changed := read[wireHook](t, d.call("PUT", "settings/webhook", body{"id": created.ID, "name": "new", "uri": uri, "enabled": true, "triggers": 0}))
	if changed.Name != "new" || changed.Triggers != 0 {
		t.Errorf("changed %+v", changed)
	}
	d.p.Upload(d.room, "a.txt", 1, d.ann)
	d.delivered()
	last := rc.deliveries()[len(rc.deliveries())-1]
	if last.Header.Get(signatureHeader) != sign("Str0ng!Secret", []byte(last.Body)) {
		t.Error("a secret left out of an update stays")
	}
	disabled := read[wireHook](t, d.call("PUT", "settings/webhook/enable", body{"id": created.ID, "enabled": false, "name": "ignored", "uri": uri}))
	if disabled.Enabled || disabled.Name != "new" {
		t.Errorf("enable changes nothing else: %+v", disabled)
	}
	list := read[[]struct {
		Configs wireHook
		Status  int
	}](t, d.call("GET", "settings/webhook", nil))
	if len(list) != 2 || list[0].Status != 200 || list[1].Status != 0 || list[0].Configs.LastSuccessOn == "" {
		t.Errorf("list %+v", list)
	}
	read[wireHook](t, d.call("DELETE", fmt.Sprintf("settings/webhook/%d", created.ID), nil))
	if exists, _ := d.p.WebhookState(created.ID); exists {
		t.Error("still there")
	}
	if a := d.call("DELETE", "settings/webhook/4711", nil); a.Status != 404 {
		t.Errorf("status %d", a.Status)
	}
}

func TestWhatAWebhookMayLookLike(t *testing.T) {
	t.Parallel()
	rc, uri := listen(t)
	rc.answer = func(_ int, w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/404":
			w.WriteHeader(404)
		case "/redirect":
			http.Redirect(w, r, "/hook", http.StatusFound)
		}
	}
	base := strings.TrimSuffix(uri, "/hook")
	open := newDesk(t, Options{AllowPrivateTargets: true})
	shut := newDesk(t, Options{})
	strict := newDesk(t, Options{AllowPrivateTargets: true, Passwords: PasswordPolicy{Upper: true, Digit: true, Special: true}})
	tests := map[string]struct {
		d      *desk
		change body
		status int
	}{
		"as it should be":                   {open, nil, 200},
		"name of 50 characters":             {open, body{"name": strings.Repeat("n", 50)}, 200},
		"name of 51 characters":             {open, body{"name": strings.Repeat("n", 51)}, 400},
		"no name":                           {open, body{"name": ""}, 400},
		"relative URL":                      {open, body{"uri": "/hook"}, 400},
		"ftp URL":                           {open, body{"uri": "ftp://example.com/"}, 400},
		"ssl demands https":                 {open, body{"ssl": true}, 400},
		"target of 256 characters":          {open, body{"targetId": strings.Repeat("1", 256)}, 400},
		"secret of 30 characters":           {open, body{"name": "30", "secretKey": strings.Repeat("s", 30)}, 200},
		"secret of 31 characters":           {open, body{"secretKey": strings.Repeat("s", 31)}, 400},
		"secret of 7 characters":            {open, body{"secretKey": "sevenup"}, 400},
		"secret with a space":               {open, body{"secretKey": "with a space"}, 400},
		"secret with other than ASCII":      {open, body{"secretKey": "größerals8"}, 400},
		"no secret":                         {open, body{"secretKey": nil}, 400},
		"the portal's password policy":      {strict, body{"secretKey": "lowercase"}, 400},
		"a secret that satisfies it":        {strict, body{"secretKey": "Lower1case!"}, 200},
		"the probe is answered with 404":    {open, body{"uri": base + "/404"}, 400},
		"the probe is redirected":           {open, body{"uri": base + "/redirect"}, 400},
		"the probe is refused":              {open, body{"uri": "http://127.0.0.1:1/"}, 500},
		"a loopback address is blacklisted": {shut, nil, 400},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := test.d.call("POST", "settings/webhook", hookBody(uri, test.change))
			if a.Status != test.status {
				t.Errorf("status %d, want %d: %s", a.Status, test.status, a.Body)
			}
		})
	}
}

func TestWhoAdministratesWebhooks(t *testing.T) {
	t.Parallel()
	_, uri := listen(t)
	d := newDesk(t, Options{AllowPrivateTargets: true})
	ann := d.as(d.p.AddKey(d.ann))
	admin := d.as(d.p.AddKey(d.p.AddUser(User{DisplayName: "Root", Admin: true})))
	own := read[wireHook](t, d.call("POST", "settings/webhook", hookBody(uri, nil)))
	count := func(of *desk) int {
		return len(read[[]json.RawMessage](t, of.call("GET", "settings/webhook", nil)))
	}
	if count(d) != 1 || count(ann) != 0 || count(admin) != 1 {
		t.Errorf("own %d, another's %d, admin %d", count(d), count(ann), count(admin))
	}
	if a := ann.call("DELETE", fmt.Sprintf("settings/webhook/%d", own.ID), nil); a.Status != 404 {
		t.Errorf("another's webhook: status %d", a.Status)
	}
	if a := d.call("POST", "settings/webhook", hookBody(uri, body{"name": "u", "triggers": 1})); a.Status != 403 {
		t.Errorf("user.created is for admins: status %d", a.Status)
	}
	read[wireHook](t, admin.call("POST", "settings/webhook", hookBody(uri, body{"name": "u", "triggers": 1})))

	triggers := read[[]struct {
		Name      string
		ID        int64
		Available bool
	}](t, d.call("GET", "settings/webhook/triggers", nil))
	values := map[string]int64{}
	for _, tr := range triggers {
		values[tr.Name] = tr.ID
		if tr.Name == "room.created" && tr.Available || tr.Name == "file.created" && !tr.Available {
			t.Errorf("trigger %+v", tr)
		}
	}
	for name, value := range map[string]int64{
		"*": 0, "user.created": 1, "file.created": 128, "file.uploaded": 256, "file.copied": 8192, "file.moved": 16384,
		"folder.created": 32768, "room.created": 4194304, "form.submit": 268435456, "agent.created": 2147483648, "folder.downloaded": 34359738368,
	} {
		if values[name] != value {
			t.Errorf("%s is %d, want %d", name, values[name], value)
		}
	}
	locked := newDesk(t, Options{AdminWebhooksOnly: true})
	if a := locked.call("GET", "settings/webhook", nil); a.Status != 403 {
		t.Errorf("locked out: status %d", a.Status)
	}
}

func TestTheLogIsWhereLostDeliveriesAreFound(t *testing.T) {
	t.Parallel()
	opts := Options{Timings: fast}
	bubble(t, opts, Webhook{}, func(t *testing.T, d *desk, rc *receiver, id int) {
		rc.answer = func(_ int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Answer", "yes")
			switch r.Host {
			case "client.example.com":
				w.WriteHeader(404)
			case "server.example.com":
				w.WriteHeader(503)
			}
		}
		for _, host := range []string{"client", "server"} {
			d.p.AddWebhook(Webhook{Name: host, URL: "https://" + host + ".example.com/", Secret: secret, Owner: d.gateway, Enabled: true})
		}
		d.p.AddWebhook(Webhook{Name: "foreign", URL: "https://f.example.com/", Secret: secret, Owner: d.ann, Enabled: true})
		d.p.Upload(d.room, "a.txt", 1, d.ann)
		d.delivered()
		time.Sleep(time.Minute)
		d.p.CreateFolder(d.room, "F", d.ann)
		d.delivered()

		get := func(query string) []wireRow {
			return read[[]wireRow](t, d.call("GET", "settings/webhooks/log?"+query, nil))
		}
		tests := map[string]struct {
			query string
			want  []int
		}{
			"newest first, own ones only":           {"", []int{7, 6, 5, 3, 2, 1}},
			"by webhook":                            {fmt.Sprint("configId=", id), []int{5, 1}},
			"by row":                                {"eventId=3", []int{3}},
			"by trigger value":                      {"trigger=256", []int{3, 2, 1}},
			"by trigger name":                       {"trigger=FolderCreated", []int{7, 6, 5}},
			"by URL":                                {"hookUri=" + url.QueryEscape("https://client.example.com/"), []int{6, 2}},
			"successes":                             {"groupStatus=2", []int{5, 1}},
			"everything but successes":              {"groupStatus=29", []int{7, 6, 3, 2}},
			"4xx":                                   {"groupStatus=8", []int{6, 2}},
			"5xx":                                   {"groupStatus=16", []int{7, 3}},
			"a delivery date excludes all failures": {"deliveryFrom=2000-01-01T00:00:00Z", []int{5, 1}},
			"and so does its end":                   {"deliveryTo=2030-01-01T00:00:00Z", []int{5, 1}},
			"by owner":                              {"userId=" + string(d.gateway), []int{7, 6, 5, 3, 2, 1}},
			"pages":                                 {"startIndex=1&count=2", []int{6, 5}},
		}
		for name, test := range tests {
			var ids []int
			for _, r := range get(test.query) {
				ids = append(ids, r.ID)
			}
			if diff := cmp.Diff(test.want, ids); diff != "" {
				t.Errorf("%s:\n%s", name, diff)
			}
		}
		if a := d.call("GET", "settings/webhooks/log?count=101", nil); a.Status != 400 {
			t.Errorf("status %d", a.Status)
		}
		if a := d.call("GET", "settings/webhooks/log?count=1", nil); a.Total == nil || *a.Total != 6 {
			t.Errorf("total is set: %s", a.Body)
		}

		failed := get("eventId=2")[0]
		if failed.ConfigID != nil || failed.Delivery != "" || failed.Status != 404 || failed.ConfigName != "client" || failed.Trigger != 256 {
			t.Errorf("row %+v", failed)
		}
		var headers map[string][]string
		if err := json.Unmarshal([]byte(failed.RequestHeaders), &headers); err != nil {
			t.Fatal(err)
		}
		if got := headers[signatureHeader]; len(got) != 1 || got[0] != sign(secret, []byte(failed.RequestPayload)) {
			t.Errorf("the stored signature fits the stored body: %v", got)
		}
		if !strings.Contains(failed.RequestPayload, `"retryCount":5`) || !strings.Contains(failed.ResponsePayload, "404 (Not Found)") {
			t.Errorf("row %+v", failed)
		}
		if ok := get("eventId=1")[0]; ok.Delivery == "" || !strings.Contains(ok.ResponseHeaders, `"X-Answer":["yes"]`) {
			t.Errorf("row %+v", ok)
		}
		d.call("DELETE", fmt.Sprintf("settings/webhook/%d", id), nil)
		if got := get("eventId=1"); len(got) != 0 {
			t.Error("rows of deleted webhooks are not listed")
		}
	})
}

func TestRetryingThroughTheAPI(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Timings: fast}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, id int) {
		for i := range 8 {
			d.p.Upload(d.room, fmt.Sprint(i), 1, d.ann)
		}
		d.delivered()
		single := read[wireRow](t, d.call("PUT", "settings/webhook/1/retry", nil))
		if single.ID != 9 || strings.Contains(single.RequestPayload, `"event":{"id"`) {
			t.Errorf("row %+v: a new row, not sent yet", single)
		}
		bulk := read[[]wireRow](t, d.call("PUT", "settings/webhook/retry", body{"ids": []int{2, 3, 4711}}))
		if len(bulk) != 2 {
			t.Errorf("%d rows: unknown ones are skipped", len(bulk))
		}
		d.delivered()
		if n := len(rc.deliveries()); n != 11 {
			t.Errorf("%d deliveries", n)
		}
		if a := d.call("PUT", "settings/webhook/4711/retry", nil); a.Status != 404 {
			t.Errorf("status %d", a.Status)
		}
		// Five calls in a quarter of an hour, per path.
		var statuses []int
		for range 6 {
			statuses = append(statuses, d.call("PUT", "settings/webhook/5/retry", nil).Status)
		}
		if !slices.Equal(statuses, []int{200, 200, 200, 200, 200, 429}) {
			t.Errorf("statuses %v", statuses)
		}
		if a := d.call("PUT", "settings/webhook/6/retry", nil); a.Status != 200 {
			t.Errorf("another path: status %d", a.Status)
		}
		time.Sleep(15 * time.Minute)
		if a := d.call("PUT", "settings/webhook/5/retry", nil); a.Status != 200 {
			t.Errorf("a quarter of an hour later: status %d", a.Status)
		}
	})
}

func TestARetryGoesToThePresentURLWithThePresentSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, rc, id := hooked(t, Options{Timings: fast}, Webhook{})
		d.p.Upload(d.room, "a", 1, d.ann)
		d.delivered()
		read[wireHook](t, d.call("PUT", "settings/webhook", hookBody("https://moved.example.com/x", body{"id": id, "secretKey": "another-secret"})))
		d.p.RetryDelivery(1)
		d.delivered()
		got := rc.deliveries()
		last := got[len(got)-1]
		if last.URL != "https://moved.example.com/x" && !strings.HasSuffix(last.URL, "/x") ||
			last.Header.Get(signatureHeader) != sign("another-secret", []byte(last.Body)) ||
			last.Webhook["url"] != "https://router.example.com/hook" {
			t.Errorf("delivery %+v", last)
		}
	})
}
