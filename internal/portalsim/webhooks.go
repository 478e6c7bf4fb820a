package portalsim

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Webhook is a webhook configuration to be added.
type Webhook struct {
	Name     string
	URL      string
	Secret   string
	Triggers []string // names, or "*"; empty stands for all, as 0 does on the portal
	TargetID ID       // only events about exactly this entry: a room's id does not match files in it
	Owner    UserID   // default SystemUser; must be able to read an entry to learn of it
	Enabled  bool
	SSL      bool      // demand https and check certificates
	Created  time.Time // default now; counts as the last success until there is one
}

// hook is a webhook configuration on the portal.
type hook struct {
	id                       int
	name, url, secret        string
	enabled, ssl             bool
	triggers                 int64
	target                   string
	owner, modifiedBy        UserID
	created, modified        time.Time
	lastFailure, lastSuccess time.Time
	lastFailureContent       string
}

// row is one entry of the webhook log: one delivery to one webhook.
type row struct {
	id             int // and event.id in the body
	hook           int
	hookName       string
	trigger        string
	created        time.Time // createOn of the event
	logged         time.Time
	createdBy      UserID
	payload        object
	hookInfo       object // snapshot of the configuration when the event was published
	retry          retryInfo
	attempts       int
	body           []byte // as logged; before the first attempt without an event id
	lastBody       []byte // as last sent
	lastHeaders    map[string][]string
	requestHeaders map[string][]string
	respHeaders    map[string][]string
	response       string
	status         int
	delivered      time.Time
	sends          []Send
	settled        bool
}

// retryInfo are the members of "webhook" that only retries carry.
type retryInfo struct {
	count                     int
	on, failureOn, lastGoodOn time.Time
	failure                   string
}

// DeliveryRow is a row of the portal's webhook log, plus what the simulation saw of it.
type DeliveryRow struct {
	ID        int // of the row, and event.id in the body
	WebhookID int
	Trigger   string
	Status    int // 0: never sent or no connection; 500 also for timeouts
	Attempts  int
	Body      string // as last sent
	Signature string // of Body, as sent: "sha256=" and 64 upper-case hex digits
	Response  string // answer's body, or the failure's message
	Created   time.Time
	Delivered time.Time // zero unless a 2xx was received
	Settled   bool      // no further attempt will follow
	Sends     []Send
}

// Send is one attempt of a delivery.
type Send struct {
	At        time.Time
	Status    int    // 0 without an answer
	Failure   string // empty after a 2xx
	Body      string
	Signature string
}

// AddWebhook adds a webhook configuration as it is, without the HEAD probe and the checks
// of the API.
func (p *Portal) AddWebhook(w Webhook) int {
	var mask int64
	for _, name := range w.Triggers {
		if name == "*" {
			mask = 0
			break
		}
		mask |= triggerBit(name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.Owner == "" {
		w.Owner = SystemUser
	}
	created := p.now()
	if !w.Created.IsZero() {
		created = w.Created.UTC()
	}
	return p.putHook(&hook{
		name: w.Name, url: w.URL, secret: w.Secret, enabled: w.Enabled, ssl: w.SSL, triggers: mask,
		target: string(w.TargetID), owner: w.Owner, modifiedBy: w.Owner, created: created, modified: created,
	}).id
}

func (p *Portal) putHook(h *hook) *hook {
	p.lastHook++
	h.id = p.lastHook
	p.hooks[h.id] = h
	return h
}

// WebhookState reports whether a webhook still exists and whether it is enabled.
func (p *Portal) WebhookState(id int) (exists, enabled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hooks[id]
	return h != nil, h != nil && h.enabled
}

func (p *Portal) sortedHooks() []*hook {
	return slices.SortedFunc(maps.Values(p.hooks), func(a, b *hook) int { return cmp.Compare(a.id, b.id) })
}

// snapshot is the "webhook" object of a body without its retry members.
func (h *hook) snapshot(kind string) object {
	var o object
	o.add("id", h.id)
	o.add("name", h.name)
	o.add("url", h.url)
	o = append(o, member{"triggers", triggerList(h.triggers)})
	if h.target != "" {
		o.add("target", object{{"id", ID(h.target)}, {"type", kind}})
	}
	return o
}

// addRow logs a delivery and queues it.
func (p *Portal) addRow(r *row) {
	r.id = len(p.rows) + 1
	r.logged = p.now()
	r.body = r.render(0)
	p.rows = append(p.rows, r)
	p.enqueue(r)
}

func (p *Portal) enqueue(r *row) {
	p.queue = append(p.queue, r)
	p.undelivered++
	p.wakeWorker()
}

func (p *Portal) wakeWorker() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// settle notes that n deliveries need no further attempt; p.mu must be held.
func (p *Portal) settle(rows ...*row) {
	for _, r := range rows {
		r.settled = true
	}
	p.undelivered -= len(rows)
	if p.undelivered == 0 {
		close(p.delivered)
		p.delivered = make(chan struct{})
	}
}

// WaitDelivered blocks until no delivery is queued, under way or waiting for a retry.
func (p *Portal) WaitDelivered(ctx context.Context) error {
	for {
		p.mu.Lock()
		left, done := p.undelivered, p.delivered
		p.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d deliveries: %w", left, ctx.Err())
		case <-p.ctx.Done():
			return fmt.Errorf("wait for %d deliveries: the portal is closed", left)
		}
	}
}

// LoseQueue forgets all deliveries that are queued but not under way, as a restart of the
// portal's delivery service does: their rows stay in the log with status 0.
func (p *Portal) LoseQueue() {
	p.mu.Lock()
	defer p.mu.Unlock()
	lost := p.queue
	p.queue = nil
	if len(lost) > 0 {
		p.settle(lost...)
	}
}

// RetryDelivery does what pressing "retry" in the webhook log does. In 3.x that is a new
// row with a new event id; the next generation sends the same event again.
func (p *Portal) RetryDelivery(logID int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if logID < 1 || logID > len(p.rows) {
		panic(fmt.Sprintf("portalsim: no delivery %d", logID))
	}
	p.retryRow(p.rows[logID-1])
}

func (p *Portal) retryRow(old *row) *row {
	if p.opts.Generation == 4 {
		if old.settled {
			old.settled, old.attempts = false, 0
			p.enqueue(old)
		}
		return old
	}
	r := &row{
		hook: old.hook, hookName: old.hookName, trigger: old.trigger, created: old.created,
		createdBy: old.createdBy, payload: old.payload, hookInfo: old.hookInfo,
	}
	p.addRow(r)
	return r
}

// DeliveryLog answers the webhook log, oldest row first.
func (p *Portal) DeliveryLog() []DeliveryRow {
	p.mu.Lock()
	defer p.mu.Unlock()
	log := make([]DeliveryRow, 0, len(p.rows))
	for _, r := range p.rows {
		log = append(log, DeliveryRow{
			ID: r.id, WebhookID: r.hook, Trigger: r.trigger, Status: r.status,
			Attempts: len(r.sends), Body: string(r.body), Signature: r.signature(), Response: r.response,
			Created: r.created, Delivered: r.delivered, Settled: r.settled, Sends: slices.Clone(r.sends),
		})
	}
	return log
}

func (r *row) signature() string {
	if values := r.requestHeaders[signatureHeader]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// render writes the body as it goes over the wire; event id 0 leaves the id out.
func (r *row) render(eventID int) []byte {
	var event object
	event.add("id", eventID)
	event.add("createOn", r.created)
	event.add("createBy", r.createdBy)
	event.add("trigger", r.trigger)
	event.add("triggerId", triggerBit(r.trigger))

	webhook := slices.Clone(r.hookInfo)
	webhook.add("lastFailureOn", r.retry.failureOn)
	webhook.add("lastFailureContent", r.retry.failure)
	if !r.retry.lastGoodOn.IsZero() {
		// Comes straight from the database, and so without a Z.
		webhook.add("lastSuccessOn", r.retry.lastGoodOn.UTC().Format("2006-01-02T15:04:05"))
	}
	webhook.add("retryCount", r.retry.count)
	webhook.add("retryOn", r.retry.on)

	return appendNetJSON(nil, object{{"event", event}, {"payload", r.payload}, {"webhook", webhook}})
}

const (
	signatureHeader = "x-docspace-signature-256"
	eventIDHeader   = "x-docspace-event-id"
	eventTimeHeader = "x-docspace-event-timestamp"
)

// sign answers the value of the signature header: upper-case hex, as .NET prints it.
func sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return fmt.Sprintf("sha256=%X", mac.Sum(nil))
}
