package docspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"docspace-router/internal/event"
)

// script is a portal that answers each request with the next of its answers, the last one
// for ever.
type script struct {
	answers []func(http.ResponseWriter)
	asked   atomic.Int32
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	n := int(s.asked.Add(1))
	s.answers[min(n, len(s.answers))-1](w)
}

func with(status int, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	}
}

func hangUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func found(w http.ResponseWriter) { _, _ = io.WriteString(w, envelopeOf(`{"id":1}`)) }

func TestReadsAreRepeated(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	type between struct{ from, to time.Duration }
	tests := map[string]struct {
		answers []func(http.ResponseWriter)
		asked   int32
		waits   []between
		ok      bool
	}{
		"until the portal answers": {
			[]func(http.ResponseWriter){with(502), hangUp, found}, 3,
			[]between{{100 * ms, 300 * ms}, {200 * ms, 600 * ms}}, true,
		},
		"three times at most": {
			[]func(http.ResponseWriter){with(503)}, 3,
			[]between{{100 * ms, 300 * ms}, {200 * ms, 600 * ms}}, false,
		},
		"after a gateway timeout": {
			[]func(http.ResponseWriter){with(504), found}, 2, []between{{100 * ms, 300 * ms}}, true,
		},
		"more slowly after a 429 that does not say when": {
			[]func(http.ResponseWriter){with(429), with(429), found}, 3,
			[]between{{500 * ms, 1500 * ms}, {1000 * ms, 3000 * ms}}, true,
		},
		"not before Retry-After": {
			[]func(http.ResponseWriter){with(429, "Retry-After", "5"), found}, 2,
			[]between{{5 * time.Second, 6*time.Second + 1}}, true,
		},
		"not before a 503's Retry-After": {
			[]func(http.ResponseWriter){with(503, "Retry-After", "2"), found}, 2,
			[]between{{2 * time.Second, 2400*ms + 1}}, true,
		},
		"not when Retry-After is long": {
			[]func(http.ResponseWriter){with(429, "Retry-After", "6"), found}, 1, nil, false,
		},
		"not after an answer that will stay the same": {
			[]func(http.ResponseWriter){with(404), found}, 1, nil, false,
		},
		"not after a plain server error": {
			[]func(http.ResponseWriter){with(500), found}, 1, nil, false,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			portal := &script{answers: tt.answers}
			srv := startPortal(t, portal.ServeHTTP)
			c, w := newClient(t, srv.URL, func(o *Options) {
				// A connection of its own for each request: on a used one, net/http itself
				// repeats a read that was hung up on.
				tr := &http.Transport{DisableKeepAlives: true}
				o.Transport = tr
			})
			err := read(t.Context(), c)
			if (err == nil) != tt.ok {
				t.Errorf("error %v", err)
			}
			if got := portal.asked.Load(); got != tt.asked {
				t.Errorf("asked %d times, want %d", got, tt.asked)
			}
			if len(w.all) != len(tt.waits) {
				t.Fatalf("waited %v, want %d times", w.all, len(tt.waits))
			}
			for i, want := range tt.waits {
				if w.all[i] < want.from || w.all[i] >= want.to {
					t.Errorf("wait %d: %v, want within %v", i, w.all[i], want)
				}
			}
		})
	}
}

func TestWritesAreNeverRepeated(t *testing.T) {
	t.Parallel()
	calls := map[string]func(context.Context, *Client) error{
		"copy": write,
		"move": func(ctx context.Context, c *Client) error {
			b := testBatch()
			b.Action = event.Move
			_, err := c.Start(ctx, b)
			return err
		},
		"create folder": func(ctx context.Context, c *Client) error { _, err := c.CreateFolder(ctx, "1", "a"); return err },
	}
	answers := map[string]func(http.ResponseWriter){
		"502": with(502), "503": with(503, "Retry-After", "1"), "429": with(429), "hang-up": hangUp, "garbage": with(200),
	}
	for call, do := range calls {
		for answer, give := range answers {
			t.Run(call+" after "+answer, func(t *testing.T) {
				t.Parallel()
				portal := &script{answers: []func(http.ResponseWriter){found, give}}
				srv := startPortal(t, portal.ServeHTTP)
				c, w := newClient(t, srv.URL)
				// The write goes out on a connection that has been used before, which is
				// where a transport is tempted to send again.
				if err := read(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if err := do(t.Context(), c); err == nil {
					t.Error("no error")
				}
				if got := portal.asked.Load(); got != 2 || len(w.all) != 0 {
					t.Errorf("sent %d times, waits %v", got-1, w.all)
				}
			})
		}
	}
}

func TestRepeatingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked int
		c, err := New(Options{
			Portal: "acme", URL: "http://portal.example", APIKey: func() string { return testKey },
			Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				asked++
				return &http.Response{StatusCode: 429, Body: http.NoBody}, nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}

		// The deadline leaves room for no second attempt: no waiting at all.
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		err = read(ctx, c)
		if _, limited := IsRateLimited(err); !limited || asked != 1 || time.Since(start) != 0 {
			t.Errorf("error %v after %d attempts and %v", err, asked, time.Since(start))
		}

		// A context that is cancelled amid the wait ends it.
		asked, start = 0, time.Now()
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(100*time.Millisecond, cancel)
		err = read(ctx, c)
		if _, limited := IsRateLimited(err); !limited || asked != 1 || time.Since(start) != 100*time.Millisecond {
			t.Errorf("error %v after %d attempts and %v", err, asked, time.Since(start))
		}

		// With time enough, the waits are kept.
		asked, start = 0, time.Now()
		err = read(t.Context(), c)
		if took := time.Since(start); err == nil || asked != 3 || took < 1500*time.Millisecond || took > 4500*time.Millisecond {
			t.Errorf("error %v after %d attempts and %v", err, asked, took)
		}
	})
}

// TestPaceStaysBelowTheSlidingWindow sends as fast as the client lets it and counts like
// DocSpace does.
func TestPaceStaysBelowTheSlidingWindow(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 10, 60, 1500} {
		t.Run(fmt.Sprint(limit, " per minute"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var sent []time.Time
				c, err := New(Options{
					Portal: "acme", URL: "http://portal.example", APIKey: func() string { return testKey },
					Limits: Limits{RequestsPerMinute: limit},
					Transport: roundTripper(func(*http.Request) (*http.Response, error) {
						sent = append(sent, time.Now())
						return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(envelopeOf(`{"id":1}`)))}, nil
					}),
				})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				for time.Since(start) < 5*time.Minute {
					if err := read(t.Context(), c); err != nil {
						t.Fatal(err)
					}
				}
				most, from := 0, 0
				for i, at := range sent {
					for at.Sub(sent[from]) >= time.Minute {
						from++
					}
					most = max(most, i-from+1)
				}
				if most > limit {
					t.Errorf("%d requests within a minute", most)
				}
				if want := 5 * limit * 8 / 10; len(sent) < want {
					t.Errorf("%d requests in 5 minutes, of at least %d", len(sent), want)
				}
			})
		})
	}
}

func TestWaitingForThePaceEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{
			Portal: "acme", URL: "http://portal.example", APIKey: func() string { return testKey },
			Limits: Limits{RequestsPerMinute: 1, ConcurrentWrites: 1},
			Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 404, Body: http.NoBody}, nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = write(t.Context(), c) // takes the only token
		notSent := func(err error, is error) {
			t.Helper()
			var got *UnansweredError
			if !errors.As(err, &got) || got.Sent || !errors.Is(err, is) || IsPortalDown(err) {
				t.Errorf("error %v, want an UnansweredError by %v that was not sent", err, is)
			}
		}

		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		notSent(write(ctx, c), context.DeadlineExceeded)
		if time.Since(start) != 0 {
			t.Errorf("waited %v for a turn that was beyond the deadline", time.Since(start))
		}

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, cancel)
		notSent(write(ctx, c), context.Canceled)
		if time.Since(start) != 10*time.Second {
			t.Errorf("gave up after %v", time.Since(start))
		}

		// The slot was given back each time.
		if err := write(t.Context(), c); !IsCredentials(err) {
			t.Errorf("error %v", err)
		}
	})
}

func TestParallelRequestsStayBelowTheLimits(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		call func(context.Context, *Client) error
		want int
	}{
		"writes": {write, 4},
		"reads":  {read, concurrentReads},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var inside atomic.Int32
				release := make(chan struct{})
				c, err := New(Options{
					Portal: "acme", URL: "http://portal.example", APIKey: func() string { return testKey },
					Limits: Limits{ConcurrentWrites: 4},
					Transport: roundTripper(func(*http.Request) (*http.Response, error) {
						inside.Add(1)
						defer inside.Add(-1)
						<-release
						return &http.Response{StatusCode: 404, Body: http.NoBody}, nil
					}),
				})
				if err != nil {
					t.Fatal(err)
				}
				var all sync.WaitGroup
				for range 3 * tt.want {
					all.Go(func() { _ = tt.call(t.Context(), c) })
				}
				synctest.Wait()
				if got := int(inside.Load()); got != tt.want {
					t.Errorf("%d at a time, want %d", got, tt.want)
				}

				// The next ones take the places that become free, and no more.
				release <- struct{}{}
				synctest.Wait()
				if got := int(inside.Load()); got != tt.want {
					t.Errorf("%d at a time after one has ended, want %d", got, tt.want)
				}

				// A caller that gives up waiting for a place gets no place.
				ctx, cancel := context.WithCancel(t.Context())
				failed := make(chan error, 1)
				go func() { failed <- tt.call(ctx, c) }()
				synctest.Wait()
				cancel()
				if err := <-failed; !errors.Is(err, context.Canceled) || Uncertain(err) {
					t.Errorf("error %v", err)
				}
				close(release)
				all.Wait()
			})
		})
	}
}

func TestServerSeesNoMoreThanTheAllowedWrites(t *testing.T) {
	t.Parallel()
	const limit, calls = 3, 30
	var mu sync.Mutex
	var inside, peak, arrived int
	wave := make(chan struct{})
	srv := startPortal(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		inside++
		arrived++
		peak = max(peak, inside)
		full := wave
		if arrived%limit == 0 {
			close(wave)
			wave = make(chan struct{})
		}
		mu.Unlock()
		<-full // each wave is answered when it is complete
		mu.Lock()
		inside--
		mu.Unlock()
		w.WriteHeader(http.StatusForbidden) // a refusal of the request, not of the gateway
	})
	c, _ := newClient(t, srv.URL, func(o *Options) { o.Limits.ConcurrentWrites = limit })
	var all sync.WaitGroup
	for range calls {
		all.Go(func() { _ = write(t.Context(), c) })
	}
	all.Wait()
	if peak != limit || arrived != calls {
		t.Errorf("%d requests, %d at a time, want %d and %d", arrived, peak, calls, limit)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	bodies := []string{envelopeOf(`{"id":1}`), notFound, "<html>", strings.Repeat("x", maxError+1000)}
	var n atomic.Int32
	srv := startPortal(t, func(w http.ResponseWriter, _ *http.Request) {
		i := int(n.Add(1)) % len(bodies)
		if i > 0 {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, bodies[i])
	})
	c, _ := newClient(t, srv.URL)
	dial := c.own.DialContext
	c.own.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conns.Add(1)
		return dial(ctx, network, addr)
	}
	for range 3 * len(bodies) {
		_ = read(t.Context(), c)
	}
	if got := conns.Load(); got != 1 {
		t.Errorf("%d connections for requests one after the other", got)
	}
	c.Close()
	if err := read(t.Context(), c); err != nil && !IsCredentials(err) && !IsGone(err) {
		t.Errorf("after Close: %v", err)
	}
}

func TestKeyIsAskedForEachTime(t *testing.T) {
	t.Parallel()
	var seen []string
	srv := startPortal(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		found(w)
	})
	keys := []string{"sk-old", " sk-new\n"} // secret files end in a newline
	c, _ := newClient(t, srv.URL, func(o *Options) {
		o.APIKey = func() string { return keys[len(seen)] }
	})
	for range keys {
		if err := read(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"Bearer sk-old", "Bearer sk-new"}, seen); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestUnusableKeyIsNotSent(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"empty": "", "blank": " \n", "two lines": "sk-a\nsk-b", "not ASCII": "sk-ä"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := startPortal(t, func(http.ResponseWriter, *http.Request) { t.Error("sent") })
			c, _ := newClient(t, srv.URL, func(o *Options) { o.APIKey = func() string { return key } })
			err := write(t.Context(), c)
			if !errors.Is(err, ErrNoKey) {
				t.Fatalf("error %v, want ErrNoKey", err)
			}
			if diff := cmp.Diff(verdict{Credentials: true}, judge(err)); diff != "" {
				t.Errorf("verdict: -want +got\n%s", diff)
			}
			if strings.Contains(err.Error(), "sk-") {
				t.Errorf("%v shows the key", err)
			}
		})
	}
}

// TestKeyIsNeverShown lets everything that can fail quote the key.
func TestKeyIsNeverShown(t *testing.T) {
	t.Parallel()
	var received atomic.Int32
	quoting := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			auth := r.Header.Get("Authorization")
			if auth == "Bearer "+testKey {
				received.Add(1)
			}
			w.Header().Set("Content-Type", "text/"+strings.TrimPrefix(auth, "Bearer "))
			w.Header().Set("Location", "https://"+strings.TrimPrefix(auth, "Bearer ")+".example/?q="+testKey)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, strings.ReplaceAll(body, "KEY", auth))
		}
	}
	handlers := map[string]http.HandlerFunc{
		"error envelope": quoting(403, `{"error":{"message":"no: KEY","type":"KEY"},"statusCode":403}`),
		"validation":     quoting(400, `{"response":{"title":"KEY","errors":{"KEY":["KEY"]}},"status":1,"statusCode":400}`),
		"html":           quoting(502, `<p>KEY</p>`),
		"garbage":        quoting(200, `KEY`),
		"redirect":       quoting(302, `KEY`),
	}
	check := func(t *testing.T, c *Client, err error) {
		t.Helper()
		if err == nil {
			t.Fatal("no error")
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			for what, v := range map[string]any{"error": err, "client": c, "client value": *c, "cause": errors.Unwrap(err)} {
				if s := fmt.Sprintf(format, v); strings.Contains(s, testKey) {
					t.Errorf("%s as %s shows the key: %s", what, format, s)
				}
			}
		}
	}
	t.Run("answers", func(t *testing.T) {
		t.Parallel()
		for name, handler := range handlers {
			srv := startPortal(t, handler)
			c, _ := newClient(t, srv.URL)
			t.Log(name)
			check(t, c, write(t.Context(), c))
		}
		if got := int(received.Load()); got != len(handlers) {
			t.Errorf("%d portals saw the key, want %d: the test proves nothing", got, len(handlers))
		}
	})
	t.Run("transport", func(t *testing.T) {
		t.Parallel()
		c, _ := newClient(t, "http://portal.example", func(o *Options) {
			o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				return nil, fmt.Errorf("cannot send %v", r.Header)
			})
		})
		check(t, c, write(t.Context(), c))
	})
}

func TestErrorsShowNoURL(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t, "http://portal.example", func(o *Options) {
		o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			// As any transport built on http.Client fails.
			_, err := (&http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				return nil, io.ErrUnexpectedEOF
			})}).Get(r.URL.String())
			return nil, err
		})
	})
	_, err := c.Contents(t.Context(), "1", ContentsQuery{Filter: "private title"})
	if !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), "http") {
		t.Errorf("error %v", err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	metrics := NewMetrics(reg)
	shared := func(o *Options) { o.Metrics = metrics }

	portal := &script{answers: []func(http.ResponseWriter){with(502), found, with(404), with(200), hangUp}}
	srv := startPortal(t, portal.ServeHTTP)
	c, _ := newClient(t, srv.URL, shared)
	_ = read(t.Context(), c)              // 502, then found
	_, _ = c.FolderPath(t.Context(), "1") // 404
	_ = write(t.Context(), c)             // garbled
	_ = write(t.Context(), c)             // unanswered
	_, _ = c.File(t.Context(), "")        // not sent
	other, _ := newClient(t, answering(t, 799, "").URL, shared, func(o *Options) { o.Portal = "other" })
	_, _ = other.Room(t.Context(), "1")

	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := strings.TrimPrefix(f.GetName(), "docspace_router_portal_")
			for _, l := range m.GetLabel() {
				key += " " + l.GetName() + "=" + l.GetValue()
			}
			if h := m.GetHistogram(); h != nil {
				got[key] = float64(h.GetSampleCount())
			} else {
				got[key] = m.GetCounter().GetValue()
			}
		}
	}
	want := map[string]float64{
		"requests_total call=file code=200 portal=acme":         1,
		"requests_total call=file code=502 portal=acme":         1,
		"requests_total call=folder_path code=404 portal=acme":  1,
		"requests_total call=copy code=garbled portal=acme":     1,
		"requests_total call=copy code=unanswered portal=acme":  1,
		"requests_total call=room code=other portal=other":      1,
		"request_duration_seconds call=file portal=acme":        2,
		"request_duration_seconds call=folder_path portal=acme": 1,
		"request_duration_seconds call=copy portal=acme":        2,
		"request_duration_seconds call=room portal=other":       1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestMetricsWithoutRegistry(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t, answering(t, 200, envelopeOf(`{"id":1}`)).URL, func(o *Options) { o.Metrics = NewMetrics(nil) })
	if err := read(t.Context(), c); err != nil {
		t.Error(err)
	}
}
