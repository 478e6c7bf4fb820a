package docspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sony/gobreaker/v2"
)

// verdict is everything the helpers say about an error.
type verdict struct {
	Gone, Forbidden, Limited, Down, Credentials, Uncertain bool
}

func judge(err error) verdict {
	_, limited := IsRateLimited(err)
	return verdict{IsGone(err), IsForbidden(err), limited, IsPortalDown(err), IsCredentials(err), Uncertain(err)}
}

const (
	notFound = `{"error":{"message":"The required folder was not found","type":"ASC.Common.Web.ItemNotFoundException","stack":"   at ...","hresult":-2146233088},"status":1,"statusCode":404}`
	denied   = `{"error":{"message":"Access denied","type":"System.Security.SecurityException","stack":"","hresult":0},"status":1,"statusCode":403}`
)

func TestStatusErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status  int
		body    string
		want    StatusError
		verdict verdict
	}{
		"missing entry": {
			404, notFound,
			StatusError{StatusCode: 404, Message: "The required folder was not found", Type: "ASC.Common.Web.ItemNotFoundException", Enveloped: true},
			verdict{Gone: true},
		},
		"no right, or the first file is missing": {
			403, denied,
			StatusError{StatusCode: 403, Message: "Access denied", Type: "System.Security.SecurityException", Enveloped: true},
			verdict{Forbidden: true},
		},
		"first folder is missing": {
			500, `{"error":{"message":"Object reference not set to an instance of an object.","hresult":-1},"status":1,"statusCode":500}`,
			StatusError{StatusCode: 500, Message: "Object reference not set to an instance of an object.", Enveloped: true},
			verdict{},
		},
		"error without any text": {
			403, `{"error":{"hresult":0},"status":1,"statusCode":403}`,
			StatusError{StatusCode: 403, Enveloped: true},
			verdict{Forbidden: true},
		},
		"model validation": {
			400, `{"response":{"title":"One or more validation errors occurred.","status":400,"errors":{"Title":["too long","odd"],"Count":["out of range"]}},"count":1,"status":1,"statusCode":400}`,
			StatusError{StatusCode: 400, Message: "One or more validation errors occurred. Count: out of range Title: too long odd", Enveloped: true},
			verdict{},
		},
		"format not supported": {
			415, `{"error":{"message":"format"},"status":1,"statusCode":415}`,
			StatusError{StatusCode: 415, Message: "format", Enveloped: true},
			verdict{},
		},
		"quota": {
			402, `{"error":{"message":"quota"},"status":1,"statusCode":402}`,
			StatusError{StatusCode: 402, Message: "quota", Enveloped: true},
			verdict{},
		},
		"bad key":                   {401, "", StatusError{StatusCode: 401}, verdict{Credentials: true}},
		"bad key, said in JSON":     {401, `{"error":{"message":"no"},"statusCode":401}`, StatusError{StatusCode: 401, Message: "no", Enveloped: true}, verdict{Credentials: true}},
		"portal unpaid":             {402, "", StatusError{StatusCode: 402}, verdict{Credentials: true}},
		"scope missing":             {403, "", StatusError{StatusCode: 403}, verdict{Credentials: true}},
		"portal suspended or gone":  {404, "", StatusError{StatusCode: 404}, verdict{Credentials: true}},
		"404 page of a web server":  {404, "<html>nginx</html>", StatusError{StatusCode: 404}, verdict{Credentials: true}},
		"404 of another JSON API":   {404, `{"error":{"message":"no route"}}`, StatusError{StatusCode: 404}, verdict{Credentials: true}},
		"404 with error as text":    {404, `{"error":"not found","status":404}`, StatusError{StatusCode: 404}, verdict{Credentials: true}},
		"404 with problem details":  {404, `{"title":"Not Found","status":404}`, StatusError{StatusCode: 404}, verdict{Credentials: true}},
		"rate limit":                {429, "", StatusError{StatusCode: 429}, verdict{Limited: true}},
		"proxy refuses the size":    {413, "<html>", StatusError{StatusCode: 413}, verdict{}},
		"server error of a proxy":   {500, "oops", StatusError{StatusCode: 500}, verdict{Uncertain: true}},
		"bad gateway":               {502, "<html>", StatusError{StatusCode: 502}, verdict{Down: true, Uncertain: true}},
		"unavailable":               {503, "", StatusError{StatusCode: 503}, verdict{Down: true, Uncertain: true}},
		"gateway timeout":           {504, "", StatusError{StatusCode: 504}, verdict{Down: true, Uncertain: true}},
		"unavailable with envelope": {503, `{"error":{"message":"x"},"statusCode":503}`, StatusError{StatusCode: 503, Message: "x", Enveloped: true}, verdict{Down: true}},
		"a CDN's own code":          {524, "", StatusError{StatusCode: 524}, verdict{Uncertain: true}},
		"message of many lines": {
			400, `{"error":{"message":"a\r\n\tb` + strings.Repeat("x", 1000) + `"},"statusCode":400}`,
			StatusError{StatusCode: 400, Message: "a b" + strings.Repeat("x", 397) + "…", Enveloped: true},
			verdict{},
		},
		"stack trace beyond what is read": {
			404, `{"error":{"message":"gone","type":"T","stack":"` + strings.Repeat("at x ", maxError/4) + `","hresult":1},"status":1,"statusCode":404}`,
			StatusError{StatusCode: 404, Message: "gone", Type: "T", Enveloped: true},
			verdict{Gone: true},
		},
		"page beyond what is read": {404, strings.Repeat("x", maxError+1), StatusError{StatusCode: 404}, verdict{Credentials: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := answering(t, tt.status, tt.body)
			c, _ := newClient(t, srv.URL)
			err := write(t.Context(), c)
			var got *StatusError
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want a StatusError", err)
			}
			tt.want.Call = "copy"
			if diff := cmp.Diff(tt.want, *got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if diff := cmp.Diff(tt.verdict, judge(err)); diff != "" {
				t.Errorf("verdict: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(tt.verdict, judge(fmt.Errorf("settle: %w", err))); diff != "" {
				t.Errorf("verdict on the wrapped error: -want +got\n%s", diff)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int32
	target := startPortal(t, func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	for _, code := range []int{301, 302, 303, 307, 308} {
		for name, call := range map[string]func(context.Context, *Client) error{"read": read, "write": write} {
			t.Run(fmt.Sprint(code, " ", name), func(t *testing.T) {
				t.Parallel()
				srv := answering(t, code, "", "Location", target.URL+"/login?token=hidden")
				c, w := newClient(t, srv.URL)
				err := call(t.Context(), c)
				var got *StatusError
				if !errors.As(err, &got) || got.StatusCode != code {
					t.Fatalf("error %v, want a StatusError %d", err, code)
				}
				if got.Message != "redirects to "+target.URL {
					t.Errorf("message %q", got.Message)
				}
				if diff := cmp.Diff(verdict{}, judge(err)); diff != "" {
					t.Errorf("verdict: -want +got\n%s", diff)
				}
				if len(w.all) != 0 {
					t.Error("repeated")
				}
			})
		}
	}
	t.Cleanup(func() {
		if n := followed.Load(); n != 0 {
			t.Errorf("%d redirects followed", n)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const date = "Mon, 02 Mar 2026 09:00:00 GMT"
	unix := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).Unix()
	tests := map[string]struct {
		header []string
		want   time.Duration
	}{
		"DocSpace's usual 429 does not say":         {nil, 0},
		"seconds":                                   {[]string{"Retry-After", "7"}, 7 * time.Second},
		"rest of the day":                           {[]string{"Retry-After", "86400"}, 24 * time.Hour},
		"a date by the server's clock":              {[]string{"Retry-After", "Mon, 02 Mar 2026 09:01:30 GMT", "Date", date}, 90 * time.Second},
		"a date that has passed":                    {[]string{"Retry-After", "Mon, 02 Mar 2026 08:00:00 GMT", "Date", date}, 0},
		"reset as Unix seconds":                     {[]string{"X-RateLimit-Reset", strconv.FormatInt(unix+40, 10), "Date", date}, 40 * time.Second},
		"reset in the past":                         {[]string{"X-RateLimit-Reset", strconv.FormatInt(unix-40, 10), "Date", date}, 0},
		"reset as seconds remaining":                {[]string{"X-RateLimit-Reset", "40"}, 40 * time.Second},
		"Retry-After beats reset":                   {[]string{"Retry-After", "3", "X-RateLimit-Reset", "40"}, 3 * time.Second},
		"an unreadable Retry-After leaves reset":    {[]string{"Retry-After", "soon", "X-RateLimit-Reset", "40"}, 40 * time.Second},
		"negative":                                  {[]string{"Retry-After", "-5"}, 0},
		"nonsense is cut to a day":                  {[]string{"Retry-After", "99999999999"}, 24 * time.Hour},
		"a reset in the far future is cut to a day": {[]string{"X-RateLimit-Reset", "99999999999"}, 24 * time.Hour},
		"unreadable":                                {[]string{"Retry-After", "1.5", "X-RateLimit-Reset", ""}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := answering(t, http.StatusTooManyRequests, "", tt.header...)
			c, _ := newClient(t, srv.URL)
			got, limited := IsRateLimited(write(t.Context(), c))
			if !limited || got != tt.want {
				t.Errorf("got %v, %v, want %v", got, limited, tt.want)
			}
		})
	}
}

// hijacked is a portal that reads each request whole and then does as it likes with the
// connection.
func hijacked(t *testing.T, then func(net.Conn)) *httptest.Server {
	t.Helper()
	return startPortal(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer func() { _ = conn.Close() }()
		then(conn)
	})
}

func TestRequestsWithoutACompleteAnswer(t *testing.T) {
	t.Parallel()
	say := func(text string) func(net.Conn) {
		return func(c net.Conn) { _, _ = io.WriteString(c, text) }
	}
	tests := map[string]func(net.Conn){
		"connection closed": func(net.Conn) {},
		"connection reset": func(c net.Conn) {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
		},
		"half a status line":        say("HTTP/1.1 20"),
		"no HTTP":                   say("SSH-2.0-OpenSSH\r\n\r\n"),
		"body shorter than said":    say("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + `{"response":[`),
		"chunks without an end":     say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"res\r\n"),
		"error body that breaks up": say("HTTP/1.1 404 Not Found\r\nContent-Length: 500\r\n\r\n" + `{"error":{"mess`),
	}
	for name, then := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := hijacked(t, then)
			c, w := newClient(t, srv.URL)
			err := write(t.Context(), c)
			var got *UnansweredError
			if !errors.As(err, &got) || !got.Sent {
				t.Fatalf("error %v, want an UnansweredError that was sent", err)
			}
			if diff := cmp.Diff(verdict{Uncertain: true}, judge(err)); diff != "" {
				t.Errorf("verdict: -want +got\n%s", diff)
			}
			if len(w.all) != 0 {
				t.Error("a write was repeated")
			}
		})
	}
}

func TestRequestsThatCannotBeSent(t *testing.T) {
	t.Parallel()
	refused := httptest.NewServer(nil)
	refused.Close()
	untrusted := httptest.NewUnstartedServer(nil)
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0) // of failed handshakes
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	plain := answering(t, 200, "")
	dialer := func(dial func(context.Context, string, string) (net.Conn, error)) func(*testing.T) func(*Options) {
		return func(t *testing.T) func(*Options) {
			tr := &http.Transport{DialContext: dial}
			t.Cleanup(tr.CloseIdleConnections)
			return func(o *Options) { o.Transport = tr }
		}
	}
	asIs := func(*testing.T) func(*Options) { return func(*Options) {} }

	tests := map[string]struct {
		url     string
		options func(*testing.T) func(*Options)
		is      error
	}{
		"port refused":            {refused.URL, asIs, syscall.ECONNREFUSED},
		"certificate not trusted": {untrusted.URL, asIs, nil},
		"no TLS":                  {strings.Replace(plain.URL, "http:", "https:", 1), asIs, nil},
		"no such name": {"http://portal.example", dialer(func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "portal.example", IsNotFound: true}
		}), nil},
		"dialling timed out by itself": {"http://portal.example", dialer(func(context.Context, string, string) (net.Conn, error) {
			// As package net has it: its timeouts claim to be the context's.
			return nil, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
		}), nil},
		"dialling outlasts the timeout": {"http://portal.example", func(t *testing.T) func(*Options) {
			hang := dialer(func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})(t)
			return func(o *Options) { hang(o); o.Timeout = 20 * time.Millisecond }
		}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, w := newClient(t, tt.url, tt.options(t))
			err := write(t.Context(), c)
			var got *UnansweredError
			if !errors.As(err, &got) || got.Sent {
				t.Fatalf("error %v, want an UnansweredError that was not sent", err)
			}
			if diff := cmp.Diff(verdict{Down: true}, judge(err)); diff != "" {
				t.Errorf("verdict: -want +got\n%s", diff)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
			if isContextEnd(err) {
				t.Errorf("%v claims that the caller's context ended", err)
			}
			if strings.Contains(err.Error(), "fileops") {
				t.Errorf("%v shows the URL", err)
			}
			if len(w.all) != 0 {
				t.Error("a write was repeated")
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	srv := startPortal(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/api/2.0/people/@self" { // begins to answer, and then no more
			_, _ = io.WriteString(w, `{"response":`)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	})
	self := func(ctx context.Context, c *Client) error { _, err := c.Self(ctx); return err }
	for name, call := range map[string]func(context.Context, *Client) error{"read": read, "write": write, "body": self} {
		t.Run(name+" slower than the timeout", func(t *testing.T) {
			t.Parallel()
			c, w := newClient(t, srv.URL, func(o *Options) { o.Timeout = 30 * time.Millisecond })
			err := call(t.Context(), c)
			var got *UnansweredError
			if !errors.As(err, &got) || !got.Sent {
				t.Fatalf("error %v, want an UnansweredError that was sent", err)
			}
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("%v is no timeout", err)
			}
			if isContextEnd(err) {
				t.Errorf("%v claims that the caller's context ended", err)
			}
			if diff := cmp.Diff(verdict{Uncertain: true}, judge(err)); diff != "" {
				t.Errorf("verdict: -want +got\n%s", diff)
			}
			if len(w.all) != 0 {
				t.Error("a request that took the whole timeout was repeated")
			}
		})
	}
}

func TestContextThatEnds(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(context.Context, *Client) error{"read": read, "write": write} {
		t.Run(name+" not begun", func(t *testing.T) {
			t.Parallel()
			srv := startPortal(t, func(http.ResponseWriter, *http.Request) { t.Error("sent") })
			c, _ := newClient(t, srv.URL)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := call(ctx, c)
			var got *UnansweredError
			if !errors.As(err, &got) || got.Sent || !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v, want an UnansweredError by context.Canceled that was not sent", err)
			}
			if diff := cmp.Diff(verdict{}, judge(err)); diff != "" {
				t.Errorf("verdict: -want +got\n%s", diff)
			}
		})
		t.Run(name+" under way", func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			srv := startPortal(t, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				cancel()
				<-r.Context().Done()
			})
			c, w := newClient(t, srv.URL)
			err := call(ctx, c)
			var got *UnansweredError
			if !errors.As(err, &got) || !got.Sent || !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v, want an UnansweredError by context.Canceled that was sent", err)
			}
			if diff := cmp.Diff(verdict{Uncertain: true}, judge(err)); diff != "" {
				t.Errorf("verdict: -want +got\n%s", diff)
			}
			if len(w.all) != 0 {
				t.Error("repeated for nobody")
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTransportThatDoesNotTellCountsAsSent(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t, "http://portal.example", func(o *Options) {
		o.Transport = roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("no trace hooks here") })
	})
	err := write(t.Context(), c)
	if !Uncertain(err) || IsPortalDown(err) {
		t.Errorf("%v: a transport without hooks may have written", err)
	}
}

func TestOversizedAnswer(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	srv := startPortal(t, func(w http.ResponseWriter, _ *http.Request) {
		block := []byte(strings.Repeat(" ", 1<<20))
		for range 4 * maxAnswer >> 20 {
			n, err := w.Write(block)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	c, _ := newClient(t, srv.URL)
	err := write(t.Context(), c)
	var garbled *GarbledError
	if !errors.As(err, &garbled) || !strings.Contains(err.Error(), "larger than 32 MiB") {
		t.Fatalf("error %v, want a GarbledError about its size", err)
	}
	srv.Close() // waits for the handler
	if got := sent.Load(); got >= 4*maxAnswer {
		t.Errorf("all %d bytes were read", got)
	}
}

func TestOpenBreakerMeansPortalDown(t *testing.T) {
	t.Parallel()
	for _, err := range []error{gobreaker.ErrOpenState, gobreaker.ErrTooManyRequests} {
		if diff := cmp.Diff(verdict{Down: true}, judge(fmt.Errorf("acme: %w", err))); diff != "" {
			t.Errorf("%v: -want +got\n%s", err, diff)
		}
	}
}

func TestForeignErrorsMeanNothing(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, errors.New("x"), context.Canceled, io.ErrUnexpectedEOF} {
		if diff := cmp.Diff(verdict{}, judge(err)); diff != "" {
			t.Errorf("%v: -want +got\n%s", err, diff)
		}
	}
}
