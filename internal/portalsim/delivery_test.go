package portalsim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetries(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		d.p.Upload(d.room, "ok.txt", 1, d.ann) // a success to remember
		d.delivered()
		rc.answer = func(n int, w http.ResponseWriter, _ *http.Request) {
			if n < 4 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
		d.p.Upload(d.room, "a.txt", 1, d.ann)
		d.delivered()
		got := rc.deliveries()[1:]
		if len(got) != 3 {
			t.Fatalf("%d attempts", len(got))
		}
		for i, wait := range []time.Duration{time.Second, 2 * time.Second} {
			if diff := got[i+1].At.Sub(got[i].At); diff != wait {
				t.Errorf("retry %d came after %v, want %v", i+1, diff, wait)
			}
		}
		if _, ok := got[0].Webhook["retryCount"]; ok || got[0].Webhook["lastSuccessOn"] != nil {
			t.Errorf("first attempt %v", got[0].Webhook)
		}
		last := got[2]
		if last.Event != got[0].Event || last.Header.Get(signatureHeader) == got[0].Header.Get(signatureHeader) ||
			last.Header.Get(signatureHeader) != sign(secret, []byte(last.Body)) {
			t.Error("a retry keeps the event and signs its own bytes")
		}
		want := map[string]any{
			"retryCount":         2.0,
			"retryOn":            last.At.UTC().Format(webhookTime),
			"lastFailureOn":      got[1].At.UTC().Format(webhookTime),
			"lastFailureContent": "Response status code does not indicate success: 503 (Service Unavailable).",
		}
		for key, value := range want {
			if last.Webhook[key] != value {
				t.Errorf("%s is %v, want %v", key, last.Webhook[key], value)
			}
		}
		if on := fmt.Sprint(last.Webhook["lastSuccessOn"]); on == "" || strings.HasSuffix(on, "Z") {
			t.Errorf("lastSuccessOn %q has no Z", on)
		}
		order := regexp.MustCompile(`"triggers":\["\*"\],"lastFailureOn":.*"lastFailureContent":.*"lastSuccessOn":.*"retryCount":2,"retryOn":`)
		if !order.MatchString(last.Body) {
			t.Errorf("body %s", last.Body)
		}
		row := d.p.DeliveryLog()[1]
		if row.Status != 200 || row.Attempts != 3 || row.Body != last.Body || row.Delivered.IsZero() {
			t.Errorf("row %+v", row)
		}
	})
}

func TestAFullCycleTakesHalfAMinuteAndIsAll(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer  func(int, http.ResponseWriter, *http.Request)
		status  int
		failure string
	}{
		"4xx": {reply(404), 404, "Response status code does not indicate success: 404 (Not Found)."},
		"5xx": {reply(500), 500, "Response status code does not indicate success: 500 (Internal Server Error)."},
		"redirects": {func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, 302, "Response status code does not indicate success: 302 (Found)."},
		"no answer": {func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "An error occurred while sending the request."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
				rc.answer = test.answer
				d.p.Upload(d.room, "a.txt", 1, d.ann)
				d.delivered()
				got := rc.deliveries()
				if len(got) != 6 {
					t.Fatalf("%d attempts", len(got))
				}
				if took := got[5].At.Sub(got[0].At); took != 31*time.Second {
					t.Errorf("cycle took %v", took)
				}
				row := d.p.DeliveryLog()[0]
				if row.Status != test.status || row.Response != test.failure || !row.Delivered.IsZero() || !row.Settled {
					t.Errorf("row %+v", row)
				}
				time.Sleep(time.Hour)
				if n := len(rc.deliveries()); n != 6 {
					t.Errorf("%d attempts in the end", n)
				}
			})
		})
	}
	t.Run("timeouts, logged as 500", func(t *testing.T) {
		t.Parallel()
		for generation, timeout := range map[int]time.Duration{3: 100 * time.Second, 4: 30 * time.Second} {
			opts := Options{Generation: generation, Timings: Timings{RetryWaits: []time.Duration{}}}
			bubble(t, opts, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
				rc.answer = func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
				d.p.Upload(d.room, "a.txt", 1, d.ann)
				d.delivered()
				if row := d.p.DeliveryLog()[0]; row.Status != 500 || !strings.Contains(row.Response, fmt.Sprintf("%d seconds", timeout/time.Second)) {
					t.Errorf("generation %d: row %+v", generation, row)
				}
				if took := time.Since(rc.deliveries()[0].At); took != timeout {
					t.Errorf("generation %d: took %v", generation, took)
				}
			})
		}
	})
}

func TestConnectionRefusedIsLoggedWithStatusZero(t *testing.T) {
	t.Parallel()
	d := newDesk(t, Options{Timings: Timings{QueuePause: -1, RetryWaits: []time.Duration{}}, AllowPrivateTargets: true})
	d.p.AddWebhook(Webhook{Name: "w", URL: "http://127.0.0.1:1/", Secret: secret, Owner: d.gateway, Enabled: true})
	d.p.Upload(d.room, "a.txt", 1, d.ann)
	d.delivered()
	if row := d.p.DeliveryLog()[0]; row.Status != 0 || row.Response != "Connection refused (127.0.0.1:1)" {
		t.Errorf("row %+v", row)
	}
}

func TestFourthGenerationSchedulesRetries(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Generation: 4}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		rc.answer = func(n int, w http.ResponseWriter, _ *http.Request) {
			if n <= 2 {
				w.WriteHeader(500)
			}
		}
		d.p.Upload(d.room, "a.txt", 1, d.ann)
		d.delivered()
		got := rc.deliveries()
		if len(got) != 3 {
			t.Fatalf("%d attempts", len(got))
		}
		for i, wait := range []time.Duration{time.Second, 2 * time.Second} {
			diff := got[i+1].At.Sub(got[i].At)
			if diff < wait*9/10 || diff > wait*11/10 {
				t.Errorf("retry %d came after %v, want %v give or take a tenth", i+1, diff, wait)
			}
		}
		if got[1].Webhook["lastFailureOn"] != got[0].Event.CreateOn {
			t.Errorf("webhook %v", got[1].Webhook)
		}
		d.p.RetryDelivery(1)
		d.delivered()
		again := rc.deliveries()[3]
		if again.Event != got[0].Event || again.Webhook["retryCount"] != nil || len(d.p.DeliveryLog()) != 1 {
			t.Errorf("a manual retry keeps the event: %+v", again)
		}
	})
}

func TestOneDeadReceiverDelaysTheGroupAndThoseBehindIt(t *testing.T) {
	t.Parallel()
	for generation, late := range map[int]bool{3: true, 4: false} {
		bubble(t, Options{Generation: generation}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
			rc.answer = func(_ int, w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.Host, "dead") {
					w.WriteHeader(500)
				}
			}
			for i := range 15 {
				d.p.Upload(d.room, fmt.Sprint(i), 1, d.ann)
			}
			d.p.AddWebhook(Webhook{Name: "dead", URL: "https://dead.example.com/", Secret: secret, Owner: d.gateway, Enabled: true})
			d.delivered()
			start := time.Now()
			d.p.Upload(d.room, "dead", 1, d.ann) // one row for each webhook
			for i := range 15 {
				d.p.Upload(d.room, fmt.Sprint("x", i), 1, d.ann)
			}
			synctest.Wait()
			d.delivered()
			slowest := time.Duration(0)
			for _, row := range d.p.DeliveryLog() {
				if row.Status == 200 && !row.Created.Before(start.Truncate(time.Second)) {
					slowest = max(slowest, row.Delivered.Sub(start))
				}
			}
			if (slowest > 31*time.Second) != late {
				t.Errorf("generation %d: slowest healthy delivery took %v", generation, slowest)
			}
		})
	}
}

func TestTheWorkerRestsFiveSecondsWhenIdle(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		time.Sleep(12 * time.Second)
		start := time.Now()
		d.p.Upload(d.room, "a.txt", 1, d.ann)
		d.delivered()
		if took := rc.deliveries()[0].At.Sub(start); took != 3*time.Second {
			t.Errorf("delivered after %v, want at the worker's next look", took)
		}
	})
}

func TestGoneDeletesTheWebhook(t *testing.T) {
	t.Parallel()
	for generation, attempts := range map[int]int{3: 6, 4: 1} {
		bubble(t, Options{Generation: generation}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, id int) {
			rc.answer = reply(http.StatusGone)
			d.p.Upload(d.room, "a.txt", 1, d.ann)
			d.delivered()
			if exists, _ := d.p.WebhookState(id); exists {
				t.Errorf("generation %d: still there", generation)
			}
			if n := len(rc.deliveries()); n != attempts {
				t.Errorf("generation %d: %d attempts, want %d", generation, n, attempts)
			}
			if row := d.p.DeliveryLog()[0]; row.Status != 0 {
				t.Errorf("generation %d: the row is not updated: %+v", generation, row)
			}
			d.p.Upload(d.room, "b.txt", 1, d.ann)
			if n := len(d.p.DeliveryLog()); n != 1 {
				t.Errorf("generation %d: %d rows: later events are not even logged", generation, n)
			}
		})
	}
}

func TestAutoDisable(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	tests := map[string]struct {
		quiet   time.Duration
		answer  func(int, http.ResponseWriter, *http.Request)
		enabled bool
	}{
		"one failure on a busy webhook":      {2 * day, reply(500), true},
		"one failure after three quiet days": {3*day + time.Hour, reply(500), false},
		"a lost connection counts too":       {3*day + time.Hour, func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
		"timeouts do not":                    {3*day + time.Hour, func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, true},
		"success does not":                   {9 * day, nil, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, id int) {
				d.p.Upload(d.room, "first.txt", 1, d.ann)
				d.delivered()
				time.Sleep(test.quiet)
				rc.answer = test.answer
				d.p.Upload(d.room, "a.txt", 1, d.ann)
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				defer cancel()
				if err := d.p.WaitDelivered(ctx); err != nil {
					t.Fatal(err)
				}
				if exists, enabled := d.p.WebhookState(id); !exists || enabled != test.enabled {
					t.Errorf("exists %v, enabled %v", exists, enabled)
				}
			})
		})
	}
}

func TestTheURLIsCheckedBeforeEverySending(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		url             string
		ssl             bool
		exists, enabled bool
	}{
		"a name that does not resolve disables": {"https://router.invalid/", false, true, false},
		"http where https is demanded disables": {"http://router.example.com/", true, true, false},
		"loopback deletes":                      {"http://127.0.0.1/", false, false, false},
		"localhost deletes":                     {"http://localhost/", false, false, false},
		"a private network deletes":             {"http://10.1.2.3/", false, false, false},
		"172.16/12 deletes":                     {"http://172.31.0.1/", false, false, false},
		"192.168/16 deletes":                    {"http://192.168.1.1/", false, false, false},
		"carrier-grade NAT deletes":             {"http://100.64.0.1/", false, false, false},
		"link local deletes":                    {"http://169.254.169.254/", false, false, false},
		"IPv6 loopback deletes":                 {"http://[::1]/", false, false, false},
		"IPv6 unique local deletes":             {"http://[fd00::1]/", false, false, false},
		"IPv4 in IPv6 deletes":                  {"http://[::ffff:10.0.0.1]/", false, false, false},
		"a public address stays":                {"http://198.51.100.7/", false, true, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, Options{}, Webhook{URL: test.url, SSL: test.ssl}, func(t *testing.T, d *desk, rc *receiver, id int) {
				d.p.Upload(d.room, "a.txt", 1, d.ann)
				d.delivered()
				if exists, enabled := d.p.WebhookState(id); exists != test.exists || enabled != test.enabled {
					t.Errorf("exists %v, enabled %v", exists, enabled)
				}
				sent := len(rc.deliveries()) > 0
				if row := d.p.DeliveryLog()[0]; sent != test.enabled || (row.Status == 200) != test.enabled {
					t.Errorf("sent %v, row %+v", sent, row)
				}
			})
		})
	}
}

func TestARestartLosesTheQueue(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		d.p.Upload(d.room, "a.txt", 1, d.ann)
		d.p.LoseQueue()
		d.delivered()
		time.Sleep(time.Minute)
		row := d.p.DeliveryLog()[0]
		if len(rc.deliveries()) != 0 || row.Status != 0 || strings.Contains(row.Body, `"event":{"id"`) {
			t.Errorf("row %+v: unsent bodies lack the event id", row)
		}
	})
}

func TestALargeAnswerIsNotWrittenDown(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		rc.answer = func(_ int, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 64<<10)) }
		d.p.Upload(d.room, "a.txt", 1, d.ann)
		d.delivered()
		if row := d.p.DeliveryLog()[0]; row.Status != 0 || len(rc.deliveries()) != 1 {
			t.Errorf("row %+v", row)
		}
	})
}

func TestManualRetryIsANewEvent(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		d.p.Upload(d.room, "a.txt", 1, d.ann)
		d.delivered()
		time.Sleep(time.Hour)
		d.p.RetryDelivery(1)
		d.delivered()
		got := rc.deliveries()
		if len(got) != 2 || got[1].Event.ID != 2 || got[1].Event.CreateOn != got[0].Event.CreateOn {
			t.Fatalf("deliveries %+v", got)
		}
		if strings.Replace(got[1].Body, `"id":2`, `"id":1`, 1) != got[0].Body {
			t.Errorf("all else is the same:\n%s\n%s", got[0].Body, got[1].Body)
		}
	})
}

func TestWaitDeliveredGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, Webhook{}, func(t *testing.T, d *desk, rc *receiver, _ int) {
		rc.answer = func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		d.p.Upload(d.room, "a.txt", 1, d.ann)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := d.p.WaitDelivered(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		d.p.Close()
		if err := d.p.WaitDelivered(context.Background()); err == nil {
			t.Error("a closed portal delivers nothing more")
		}
	})
}
