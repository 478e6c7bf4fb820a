package docspace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

const (
	maxAnswer = 32 << 20 // bytes of a 2xx body; a page of 100 entries is well below 1 MiB
	maxError  = 64 << 10 // bytes of any other body

	// readAttempts is how often a read is tried in all.
	readAttempts = 3

	callOperation = "operation"

	// patience is the longest Retry-After a read waits out by itself; beyond it the caller
	// has better things to do.
	patience = 5 * time.Second
)

// Options are what a Client needs. Portal, URL and APIKey are required.
type Options struct {
	// Portal is the portal's name in metrics.
	Portal string

	// URL is the portal's address, http or https, without query.
	URL string

	// APIKey returns the key, as DocSpace shows it ("sk-…"). It is asked for every request,
	// so that a rotated key is used at once; it must be quick and safe for parallel use.
	APIKey func() string

	// Transport carries the requests. The default is a transport of the client's own whose
	// idle connections suit Limits. One given here stays the caller's: Close leaves it
	// alone. It must not follow redirects or repeat writes.
	Transport http.RoundTripper

	// Timeout is for one request from sending to the end of the answer; default 60 s. A copy
	// of many entries needs it, since DocSpace checks every id with several queries before
	// it answers. Waiting for Limits does not count.
	Timeout time.Duration

	// Pause is how long nothing is sent to a portal that was found down; default 10 s.
	Pause time.Duration

	// OnHealth is told when the portal goes down and when it is back; nil: nobody is. It must not
	// call the client.
	OnHealth func(Health)

	Limits    Limits
	Metrics   *Metrics     // shared by all clients; nil: none
	Tracer    trace.Tracer // of a span for each request; nil: none
	UserAgent string       // default "docspace-router"
}

// Client talks to one portal. It is safe for parallel use; all users of one account should
// share it, because the portal's limits are per account.
type Client struct {
	portal    string
	base      string // scheme, host and path up to and with "/api/2.0/"
	key       func() string
	transport http.RoundTripper
	own       *http.Transport // the transport when it is ours, else nil
	timeout   time.Duration
	userAgent string
	metrics   *Metrics
	tracer    trace.Tracer

	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	pause   time.Duration
	trouble *atomic.Pointer[trouble] // what last spoke against sending more
	health  *health
	offset  *atomic.Int64 // nanoseconds the portal's clock is ahead

	clockKnown *atomic.Bool // whether offset has been learned

	pace          *rate.Limiter
	reads, writes slots

	// wait sleeps between attempts; tests replace it.
	wait func(context.Context, time.Duration) error
}

// New checks the options and returns a client; it sends nothing.
func New(o Options) (*Client, error) {
	if o.Portal == "" {
		return nil, errors.New("docspace: Portal is required")
	}
	if o.APIKey == nil {
		return nil, fmt.Errorf("docspace: portal %s: APIKey is required", o.Portal)
	}
	base, err := apiBase(o.URL)
	if err != nil {
		return nil, fmt.Errorf("docspace: portal %s: %w", o.Portal, err)
	}
	limits, err := o.Limits.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("docspace: portal %s: %w", o.Portal, err)
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("docspace: portal %s: Timeout must not be negative: %v", o.Portal, o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = 60 * time.Second
	}
	if o.Pause <= 0 {
		o.Pause = 10 * time.Second
	}
	if o.UserAgent == "" {
		o.UserAgent = "docspace-router"
	}
	c := &Client{
		portal:    o.Portal,
		base:      base,
		key:       o.APIKey,
		transport: o.Transport,
		timeout:   o.Timeout,
		userAgent: o.UserAgent,
		metrics:   o.Metrics,
		health:    &health{change: o.OnHealth},
		tracer:    o.Tracer,
		pause:     o.Pause,
		trouble:   new(atomic.Pointer[trouble]),
		offset:    new(atomic.Int64),

		clockKnown: new(atomic.Bool),
		pace:       newPace(limits.RequestsPerMinute),
		reads:      make(slots, concurrentReads),
		writes:     make(slots, limits.ConcurrentWrites),
		wait:       wait,
	}
	c.breaker = newBreaker(o.Portal, o.Pause, func(to gobreaker.State) { c.health.turned(to, c.lastTrouble()) })
	if c.transport == nil {
		c.own = newTransport(concurrentReads + limits.ConcurrentWrites)
		c.transport = c.own
	}
	return c, nil
}

// Close closes idle connections. Calls under way go on; the client stays usable.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// Format keeps the client's inside out of logs: its transport may hold requests, and they the
// key.
func (c Client) Format(w fmt.State, _ rune) {
	_, _ = io.WriteString(w, "docspace.Client("+c.portal+")")
}

func apiBase(portal string) (string, error) {
	u, err := url.Parse(portal)
	if err != nil {
		// url.Error quotes the address, which may hold a password.
		return "", errors.New("URL is malformed")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", errors.New("URL must be absolute, http or https")
	case u.User != nil:
		return "", errors.New("URL must not hold a user or password")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("URL must not have a query or fragment")
	}
	return u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/") + "/api/2.0/", nil
}

func newTransport(conns int) *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		// Shorter than a request's timeout, so that an unreachable portal is told from a
		// slow one.
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		// The default of 2 idle connections would close and reopen all others in a burst.
		MaxIdleConns:           conns,
		MaxIdleConnsPerHost:    conns,
		MaxResponseHeaderBytes: 256 << 10,
		// Below nginx's 75 s: a write on a connection that the other end is closing gets no
		// answer, and then its outcome is unknown for nothing.
		IdleConnTimeout: 60 * time.Second,
		// A single HTTP/2 connection that died silently would let every request run into
		// its timeout.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// request is one call before it is sent.
type request struct {
	call   string // bounded: it is a metric label
	method string
	path   string // below the API's base, escaped
	query  url.Values
	body   any       // marshalled as JSON; nil for none
	before time.Time // it is not sent later, unless zero
}

func (r request) isWrite() bool { return r.method != http.MethodGet }

// send carries out a request, with decode turning the answer's envelope into a T. Reads are
// repeated when the portal did not answer, was down or was busy; writes never are. (The
// transport itself may send a write anew when the connection it took from its pool turned out
// closed before the first byte was written: then nothing has been sent.)
func send[T any](ctx context.Context, c *Client, r request, decode func(envelope) (T, error)) (T, error) {
	var zero T
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return zero, invalid(r.call, "%v", err)
		}
	}
	for attempt := 1; ; attempt++ {
		var out T
		err := c.guarded(ctx, r, func() error {
			return c.attempt(ctx, r, body, func(e envelope) (err error) {
				out, err = decode(e)
				return err
			})
		})
		if err == nil {
			return out, nil
		}
		pause, again := backoff(err, attempt)
		if r.isWrite() || attempt == readAttempts || !again || c.wait(ctx, pause) != nil {
			return zero, err
		}
	}
}

// backoff says how long to wait before a read's next attempt, and whether there should be one.
func backoff(err error, attempt int) (time.Duration, bool) {
	var unanswered *UnansweredError
	if errors.As(err, &unanswered) {
		var late *timeoutError
		// After a whole timeout two more would only keep the caller waiting thrice as long.
		if isContextEnd(unanswered.Err) || unanswered.Sent && errors.As(unanswered.Err, &late) {
			return 0, false
		}
		return jitter(200 * time.Millisecond << (attempt - 1)), true
	}
	e, ok := status(err)
	switch {
	case !ok || e.RetryAfter > patience:
		return 0, false
	case e.StatusCode != http.StatusTooManyRequests && !isGatewayStatus(e.StatusCode):
		return 0, false
	case e.RetryAfter > 0:
		// Never earlier than asked, and not all at the same moment.
		return e.RetryAfter + rand.N(e.RetryAfter/5+1), true
	case e.StatusCode == http.StatusTooManyRequests:
		return jitter(time.Second << (attempt - 1)), true
	default:
		return jitter(200 * time.Millisecond << (attempt - 1)), true
	}
}

// jitter spreads d evenly over half to one and a half of it.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// wait sleeps for d, or fails: at once when ctx would end before, else when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt waits for its turn, sends once and reads the whole answer.
func (c *Client) attempt(ctx context.Context, r request, body []byte, decode func(envelope) error) error {
	key := strings.TrimSpace(c.key())
	if !isHeaderValue(key) {
		return fmt.Errorf("%s: %w", r.call, ErrNoKey)
	}
	done, err := c.turn(ctx, r.isWrite())
	if err != nil {
		return &UnansweredError{Call: r.call, Err: err}
	}
	defer done()
	if !r.before.IsZero() && time.Now().After(r.before) {
		return &UnansweredError{Call: r.call, Err: fmt.Errorf("its turn came too late: %w", context.DeadlineExceeded)}
	}

	ctx, end := c.span(ctx, r)
	start := time.Now()
	code, err := c.exchange(ctx, r, key, body, decode)
	end(code, err)
	c.metrics.observe(c.portal, r.call, code, time.Since(start))
	return err
}

// exchange sends one request and makes of its answer an error or a decoded value. code is
// the metric's.
func (c *Client) exchange(ctx context.Context, r request, key string, body []byte, decode func(envelope) error) (code string, err error) {
	timeout := c.timeout
	if !r.isWrite() {
		timeout = min(timeout, readTimeout)
	}
	callCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	var link linkTrace
	req, err := c.newRequest(httptrace.WithClientTrace(callCtx, link.hooks()), r, key, body)
	if err != nil {
		return "unanswered", &UnansweredError{Call: r.call, Err: withoutURL(err, key)}
	}
	if err := ctx.Err(); err != nil {
		return "unanswered", &UnansweredError{Call: r.call, Err: err}
	}
	unanswered := func(err error, sent bool) (string, error) {
		return "unanswered", &UnansweredError{Call: r.call, Sent: sent, Err: c.cause(ctx, callCtx, err, key)}
	}

	// The transport is used without http.Client: no redirects, no cookies, no URL in errors.
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return unanswered(err, link.mayHaveWritten())
	}
	defer discard(resp.Body)
	c.observeClock(resp.Header.Get("Date"))

	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
		if err != nil {
			// Half an error body would look like none, and a missing file like a missing
			// portal.
			return unanswered(err, true)
		}
		return codeOf(resp.StatusCode), statusError(r.call, resp, text, key)
	}

	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return unanswered(err, true)
	}
	if len(text) > maxAnswer {
		return "garbled", &GarbledError{Call: r.call, Err: fmt.Errorf("larger than %d MiB", maxAnswer>>20)}
	}
	e, err := openEnvelope(text)
	if err == nil {
		err = decode(e)
	}
	if err != nil {
		if kind := mediaType(resp.Header); kind != "" && !strings.EqualFold(kind, "application/json") {
			err = fmt.Errorf("%s: %w", redact(kind, key), err)
		}
		return "garbled", &GarbledError{Call: r.call, Err: err}
	}
	return codeOf(resp.StatusCode), nil
}

func (c *Client) newRequest(ctx context.Context, r request, key string, body []byte) (*http.Request, error) {
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, reader)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// cause tells the three reasons for a missing answer apart: the caller gave up, the portal
// was too slow, the network failed.
func (c *Client) cause(caller, call context.Context, err error, key string) error {
	if end := caller.Err(); end != nil {
		return end
	}
	if call.Err() != nil {
		return &timeoutError{text: fmt.Sprintf("not complete within %v", c.timeout)}
	}
	err = withoutURL(err, key)
	if isContextEnd(err) {
		return &timeoutError{text: err.Error()}
	}
	return err
}

// linkTrace watches how far a request got.
type linkTrace struct{ asked, connected atomic.Bool }

func (t *linkTrace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { t.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { t.connected.Store(true) },
	}
}

// mayHaveWritten is false only when the transport is known to have got no connection. One
// without trace hooks counts as having written; so does a request that failed between the
// connection and the first byte, as the hooks after GotConn run in another goroutine and may
// not have run yet.
func (t *linkTrace) mayHaveWritten() bool { return !t.asked.Load() || t.connected.Load() }

// discard reads the rest of a body within reason, so that its connection can be used again.
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxError)
	_ = body.Close()
}

// isHeaderValue reports whether the key can go into a header as it is.
func isHeaderValue(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func mediaType(h http.Header) string {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.TrimSpace(kind)
}
