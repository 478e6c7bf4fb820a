package portalsim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// groupSize is how many deliveries are under way at once.
const groupSize = 10

// maxResponse is what fits into the column an answer is stored in.
const maxResponse = 64<<10 - 1

// deliverQueue is the delivery worker. In 3.x it rests whenever its queue is empty, takes
// deliveries in groups, and waits for a whole group with all its retries before the next:
// one dead receiver delays everybody. The next generation is woken by new events, and
// leaves retries to a schedule.
func (p *Portal) deliverQueue() {
	idleSince := time.Now()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.wake:
		}
		if pause := p.opts.Timings.QueuePause; p.opts.Generation == 3 && pause > 0 {
			// The worker looks every pause; rest until its next look.
			if !p.wait(pause - time.Since(idleSince)%pause) {
				return
			}
		}
		for group := p.nextGroup(); len(group) > 0; group = p.nextGroup() {
			var sends sync.WaitGroup
			for _, r := range group {
				sends.Go(func() { p.deliver(r) })
			}
			sends.Wait()
		}
		idleSince = time.Now()
	}
}

func (p *Portal) nextGroup() []*row {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return nil
	}
	n := min(groupSize, len(p.queue))
	group := p.queue[:n:n]
	p.queue = p.queue[n:]
	return group
}

// target is where and how a delivery goes: the configuration as it is when sending begins.
type target struct {
	url, secret string
	client      *http.Client
	lastSuccess time.Time
}

// deliver makes one delivery: with all its retries in 3.x, one attempt of it in the next
// generation.
func (p *Portal) deliver(r *row) {
	to, ok := p.openTarget(r)
	if !ok {
		p.giveUp(r)
		return
	}
	for {
		if r.attempts > 0 && p.opts.Generation == 3 && !p.wait(p.opts.Timings.RetryWaits[r.attempts-1]) {
			return
		}
		a := p.attempt(r, to)
		if p.ctx.Err() != nil {
			return // stopped half-way: the row stays as it is
		}
		last := a.failure == "" || r.attempts > len(p.opts.Timings.RetryWaits)
		if p.opts.Generation == 4 {
			p.afterAttemptV4(r, a, last)
			return
		}
		if last {
			p.afterCycle(r, a)
			return
		}
	}
}

// openTarget looks the webhook up and re-resolves its URL before sending. A name that no
// longer resolves, and http where https is demanded, disable the webhook at once; an
// address on the blacklist deletes it. Either way the row is never sent.
func (p *Portal) openTarget(r *row) (target, bool) {
	p.mu.Lock()
	h := p.hooks[r.hook]
	if h == nil || r.attempts > 0 && !h.enabled {
		p.mu.Unlock()
		return target{}, false
	}
	to := target{url: h.url, secret: h.secret, client: p.trusting, lastSuccess: h.lastSuccess}
	if h.ssl {
		to.client = p.verifying
	}
	ssl := h.ssl
	p.mu.Unlock()

	err := p.checkTarget(to.url, ssl)
	if err == nil {
		return to, true
	}
	p.log.Debug("webhook dropped", "webhook", r.hook, "err", err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(err, errBlacklisted) {
		delete(p.hooks, r.hook)
	} else if h := p.hooks[r.hook]; h != nil {
		h.enabled = false
	}
	return target{}, false
}

func (p *Portal) giveUp(r *row) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle(r)
}

// attempt is the result of one request.
type attempt struct {
	status   int
	failure  string // in .NET's words; empty after a 2xx
	timeout  bool
	response string
	headers  map[string][]string
}

// attempt renders the body for this attempt, signs it and sends it.
func (p *Portal) attempt(r *row, to target) attempt {
	p.mu.Lock()
	r.retry = retryInfo{}
	if r.attempts > 0 {
		previous := r.sends[len(r.sends)-1]
		r.retry = retryInfo{
			count: r.attempts, on: p.now(), failureOn: previous.At.Truncate(time.Second),
			failure: previous.Failure, lastGoodOn: to.lastSuccess,
		}
		if p.opts.Generation == 4 && r.attempts == 1 {
			// There the date of the first failure is the event's own.
			r.retry.failureOn = r.created
		}
	}
	body := r.render(r.id)
	signature := sign(to.secret, body)
	headers := map[string][]string{"Accept": {"*/*"}, signatureHeader: {signature}}
	if p.opts.Generation == 4 {
		headers[eventIDHeader] = []string{strconv.Itoa(r.id)}
		headers[eventTimeHeader] = []string{r.created.Format(webhookTime)}
	}
	r.attempts++
	at := time.Now().UTC()
	p.mu.Unlock()

	a := p.post(to, headers, body)
	p.log.Debug("webhook attempt", "row", r.id, "trigger", r.trigger, "attempt", r.attempts, "status", a.status, "failure", a.failure)

	p.mu.Lock()
	defer p.mu.Unlock()
	r.sends = append(r.sends, Send{At: at, Status: a.status, Failure: a.failure, Body: string(body), Signature: signature})
	// The row itself is written when the cycle (3.x) or the attempt (next) is over.
	r.lastBody, r.lastHeaders = body, headers
	return a
}

func (p *Portal) post(to target, headers map[string][]string, body []byte) attempt {
	ctx, cancel := p.ctx, func() {}
	if d := p.opts.Timings.AttemptTimeout; d > 0 {
		ctx, cancel = context.WithTimeout(p.ctx, d)
	}
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url, bytes.NewReader(body))
	if err != nil {
		return attempt{failure: err.Error()}
	}
	for name, values := range headers {
		for _, v := range values {
			req.Header.Add(name, v)
		}
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "") // .NET sends none
	resp, err := to.client.Do(req)
	if err != nil {
		return p.failedAttempt(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return p.failedAttempt(err)
	}
	a := attempt{status: resp.StatusCode, response: string(text), headers: resp.Header}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		a.failure = fmt.Sprintf("Response status code does not indicate success: %d (%s).",
			resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return a
}

// failedAttempt puts a failure into the words .NET has for it.
func (p *Portal) failedAttempt(err error) attempt {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		seconds := int(p.opts.Timings.AttemptTimeout / time.Second)
		return attempt{timeout: true, failure: fmt.Sprintf(
			"The request was canceled due to the configured HttpClient.Timeout of %d seconds elapsing.", seconds)}
	case errors.Is(err, syscall.ECONNREFUSED) && errors.As(err, &op) && op.Addr != nil:
		return attempt{failure: fmt.Sprintf("Connection refused (%s)", op.Addr)}
	default:
		return attempt{failure: "An error occurred while sending the request."}
	}
}

// afterCycle ends a 3.x delivery: it writes the row and draws the consequences for the
// webhook.
func (p *Portal) afterCycle(r *row, a attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.settle(r)
	if a.status == http.StatusGone {
		// Retried like any failure, but then the webhook is deleted and the row not touched.
		delete(p.hooks, r.hook)
		return
	}
	p.recordAttempt(r, a)
}

// afterAttemptV4 writes the row after every attempt, and schedules the next one with up to
// ten per cent of jitter. A 410 deletes the webhook without any retry.
func (p *Portal) afterAttemptV4(r *row, a attempt, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.status == http.StatusGone {
		delete(p.hooks, r.hook)
		p.settle(r)
		return
	}
	p.recordAttempt(r, a)
	h := p.hooks[r.hook]
	if last || h == nil || !h.enabled {
		p.settle(r)
		return
	}
	jitter := 0.9 + 0.2*float64(p.rng.Uint64()%1000)/1000
	pause := time.Duration(float64(p.opts.Timings.RetryWaits[r.attempts-1]) * jitter)
	p.wg.Go(func() {
		if !p.wait(pause) {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.queue = append(p.queue, r)
		p.wakeWorker()
	})
}

// recordAttempt writes the outcome into the row and the webhook. After a failure that was
// not a timeout, a webhook without success for the trusted period is disabled: on a quiet
// webhook a single failure is enough.
func (p *Portal) recordAttempt(r *row, a attempt) {
	if len(a.response) > maxResponse {
		// A larger answer does not fit into its column: nothing about this delivery is
		// written down, neither in the row nor in the webhook.
		return
	}
	r.body, r.requestHeaders = r.lastBody, r.lastHeaders
	h := p.hooks[r.hook]
	if a.failure == "" {
		r.status, r.delivered = a.status, time.Now().UTC()
		r.response, r.respHeaders = a.response, a.headers
		if h != nil {
			h.lastSuccess = p.now()
		}
		return
	}
	r.status, r.response = a.status, a.failure
	if a.timeout {
		r.status = http.StatusInternalServerError
	}
	if h == nil {
		return
	}
	since := h.lastSuccess
	if since.IsZero() {
		since = h.created
	}
	h.lastFailure, h.lastFailureContent = p.now(), a.failure
	if !a.timeout && p.now().Sub(since) > p.opts.Timings.TrustedPeriod {
		h.enabled = false
	}
}

var errBlacklisted = errors.New("address is blacklisted")

// blacklist holds the networks webhooks may not point to, against server-side request
// forgery.
var blacklist = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fc00::/8"),
	netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("fe80::/10"),
}

// checkTarget validates a webhook's URL the way it is validated when the webhook is saved
// and again before each sending.
func (p *Portal) checkTarget(raw string, ssl bool) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("not an absolute http or https URL")
	}
	if ssl && u.Scheme != "https" {
		return errors.New("https is required")
	}
	addresses, err := p.opts.Resolve(p.ctx, u.Hostname())
	if err != nil || len(addresses) == 0 {
		return fmt.Errorf("resolve %s: no address", u.Hostname())
	}
	if p.opts.AllowPrivateTargets {
		return nil
	}
	for _, a := range addresses {
		for _, network := range blacklist {
			if network.Contains(a.Unmap()) {
				return errBlacklisted
			}
		}
	}
	return nil
}

// resolveOffline stands in for DNS: see Options.Resolve.
func resolveOffline(_ context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	switch {
	case host == "localhost" || strings.HasSuffix(host, ".localhost"):
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	case host == "invalid" || strings.HasSuffix(host, ".invalid"):
		return nil, errors.New("no such host")
	default:
		return []netip.Addr{netip.MustParseAddr("203.0.113.1")}, nil
	}
}
