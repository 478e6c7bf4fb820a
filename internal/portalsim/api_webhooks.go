package portalsim

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// hookRequest is the body that creates and changes webhooks. Enabled defaults to false.
type hookRequest struct {
	ID        int
	Name, URI string
	SecretKey *string
	Enabled   bool
	SSL       bool
	Triggers  int64
	TargetID  json.RawMessage
}

// admitted refuses guests, and everybody but admins where they locked the others out.
func (p *Portal) admitted(c *call) error {
	u := p.people[c.user]
	if u == nil || u.Guest || p.opts.AdminWebhooksOnly && !p.isAdmin(c.user) {
		return accessDenied()
	}
	return nil
}

// ownHook finds a webhook the caller may see: admins all, others their own.
func (p *Portal) ownHook(c *call, id int) (*hook, error) {
	if err := p.admitted(c); err != nil {
		return nil, err
	}
	h := p.hooks[id]
	if h == nil || h.owner != c.user && !p.isAdmin(c.user) {
		return nil, notFound("The webhook was not found")
	}
	return h, nil
}

func (p *Portal) listHooks(c *call) (any, error) {
	if err := p.admitted(c); err != nil {
		return nil, err
	}
	list := []dto{}
	for _, h := range p.sortedHooks() {
		if h.owner != c.user && !p.isAdmin(c.user) {
			continue
		}
		status := 0 // of the latest delivery
		for _, r := range p.rows {
			if r.hook == h.id && r.settled {
				status = r.status
			}
		}
		list = append(list, dto{"configs": p.hookDTO(h), "status": status})
	}
	return list, nil
}

// hookDTO is a configuration without its secret, which is never told again.
func (p *Portal) hookDTO(h *hook) dto {
	o := dto{
		"id": h.id, "name": h.name, "uri": h.url, "enabled": h.enabled, "ssl": h.ssl, "triggers": h.triggers,
		"createdBy": p.personDTO(h.owner), "createdOn": p.local(h.created),
		"modifiedBy": p.personDTO(h.modifiedBy), "modifiedOn": p.local(h.modified),
	}
	if h.target != "" {
		o["targetId"] = h.target
	}
	if !h.lastFailure.IsZero() {
		o["lastFailureOn"], o["lastFailureContent"] = p.local(h.lastFailure), h.lastFailureContent
	}
	if !h.lastSuccess.IsZero() {
		o["lastSuccessOn"] = p.local(h.lastSuccess)
	}
	return o
}

func (p *Portal) postHook(c *call) (any, error) {
	in, err := p.hookInput(c)
	if err != nil {
		return nil, err
	}
	if in.SecretKey == nil {
		return nil, invalid("SecretKey", "The SecretKey field is required.")
	}
	if err := p.checkSecret(*in.SecretKey); err != nil {
		return nil, err
	}
	if err := p.checkHook(c, in, 0); err != nil {
		return nil, err
	}
	return p.hookDTO(p.putHook(&hook{
		name: in.Name, url: in.URI, secret: *in.SecretKey, enabled: in.Enabled, ssl: in.SSL, triggers: in.Triggers,
		target: in.target(), owner: c.user, modifiedBy: c.user, created: p.now(), modified: p.now(),
	})), nil
}

func (p *Portal) putHookCall(c *call) (any, error) {
	in, err := p.hookInput(c)
	if err != nil {
		return nil, err
	}
	if _, err := p.ownHook(c, in.ID); err != nil {
		return nil, err
	}
	if in.SecretKey != nil && *in.SecretKey != "" {
		if err := p.checkSecret(*in.SecretKey); err != nil {
			return nil, err
		}
	}
	if err := p.checkHook(c, in, in.ID); err != nil {
		return nil, err
	}
	h, err := p.ownHook(c, in.ID) // again: the check let go of the portal
	if err != nil {
		return nil, err
	}
	h.name, h.url, h.enabled, h.ssl, h.triggers, h.target = in.Name, in.URI, in.Enabled, in.SSL, in.Triggers, in.target()
	if in.SecretKey != nil && *in.SecretKey != "" {
		h.secret = *in.SecretKey
	}
	h.modified, h.modifiedBy = p.now(), c.user
	return p.hookDTO(h), nil
}

// enableHook switches a webhook on or off. Name and URI of the request must be valid but
// are ignored; what is probed is the webhook's own URL.
func (p *Portal) enableHook(c *call) (any, error) {
	in, err := p.hookInput(c)
	if err != nil {
		return nil, err
	}
	h, err := p.ownHook(c, in.ID)
	if err != nil {
		return nil, err
	}
	if err := p.probe(h.url, h.ssl); err != nil {
		return nil, err
	}
	if h, err = p.ownHook(c, in.ID); err != nil {
		return nil, err
	}
	h.enabled, h.modified, h.modifiedBy = in.Enabled, p.now(), c.user
	return p.hookDTO(h), nil
}

func (p *Portal) deleteHook(c *call) (any, error) {
	id, _ := strconv.Atoi(c.param("id"))
	h, err := p.ownHook(c, id)
	if err != nil {
		return nil, err
	}
	delete(p.hooks, id)
	return p.hookDTO(h), nil
}

func (p *Portal) hookInput(c *call) (hookRequest, error) {
	var in hookRequest
	if err := p.admitted(c); err != nil {
		return in, err
	}
	if err := c.decode(&in); err != nil {
		return in, err
	}
	switch {
	case in.Name == "" || len(utf16.Encode([]rune(in.Name))) > 50: // as .NET counts
		return in, invalid("Name", "The field Name must be a string with a length between 1 and 50.")
	case in.URI == "":
		return in, invalid("Uri", "The Uri field is required.")
	case len(in.target()) > 255:
		return in, invalid("TargetId", "The field TargetId must be a string with a maximum length of 255.")
	default:
		return in, nil
	}
}

func (in hookRequest) target() string {
	text := strings.Trim(string(in.TargetID), `"`)
	if text == "null" || text == "0" {
		return ""
	}
	return text
}

// checkSecret applies the rules for passwords: that is what webhook secrets go through.
func (p *Portal) checkSecret(secret string) error {
	policy := p.opts.Passwords
	var upper, digit, special bool
	for _, r := range secret {
		switch {
		case r <= ' ' || r > '~':
			return badRequest("The secret key contains characters that are not allowed")
		case r >= 'A' && r <= 'Z':
			upper = true
		case r >= '0' && r <= '9':
			digit = true
		case r < 'a' || r > 'z':
			special = true
		}
	}
	const longest = 30 // whatever the published schema says
	switch {
	case len(secret) < policy.MinLength || len(secret) > longest,
		policy.Upper && !upper, policy.Digit && !digit, policy.Special && !special:
		return badRequest("The secret key does not meet the password requirements")
	default:
		return nil
	}
}

// checkHook validates the rest of a configuration and probes its URL.
func (p *Portal) checkHook(c *call, in hookRequest, id int) error {
	if in.Triggers != 0 && !p.mayAdministrate(c.user) {
		for _, name := range triggerList(in.Triggers) {
			if slices.Contains(adminTriggers, name) {
				return accessDenied()
			}
		}
	}
	taken := func() bool {
		for _, h := range p.hooks {
			if h.id != id && h.name == in.Name && h.url == in.URI {
				return true
			}
		}
		return false
	}
	if taken() {
		return badRequest("A webhook with this name and URL exists already")
	}
	if err := p.probe(in.URI, in.SSL); err != nil {
		return err
	}
	if taken() { // meanwhile
		return badRequest("A webhook with this name and URL exists already")
	}
	return nil
}

func (p *Portal) mayAdministrate(user UserID) bool {
	u := p.people[user]
	return p.isAdmin(user) || u != nil && u.RoomAdmin
}

// probe asks a webhook's URL whether it is there: an unsigned HEAD, no redirects, and only
// 2xx will do. A connection that cannot be made comes out as a server error. It lets go of
// p.mu while it waits.
func (p *Portal) probe(uri string, ssl bool) error {
	p.mu.Unlock()
	defer p.mu.Lock()
	if err := p.checkTarget(uri, ssl); err != nil {
		return badRequest("The URL is not valid: " + err.Error())
	}
	ctx, cancel := p.ctx, func() {}
	if d := p.opts.Timings.ProbeTimeout; d > 0 {
		ctx, cancel = context.WithTimeout(p.ctx, d)
	}
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, uri, nil)
	if err != nil {
		return badRequest("The URL is not valid")
	}
	client := p.trusting
	if ssl {
		client = p.verifying
	}
	resp, err := client.Do(req)
	if err != nil {
		return serverError("An error occurred while sending the request.", "System.Net.Http.HttpRequestException")
	}
	_ = resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return badRequest("The URL does not respond with success: " + strconv.Itoa(resp.StatusCode))
	}
	return nil
}

func (p *Portal) listTriggers(c *call) (any, error) {
	if err := p.admitted(c); err != nil {
		return nil, err
	}
	all := p.mayAdministrate(c.user)
	list := []dto{{"name": "*", "id": 0, "available": true}}
	for i, name := range triggerNames {
		list = append(list, dto{
			"name": name, "id": int64(1) << i, "available": all || !slices.Contains(adminTriggers, name),
		})
	}
	return list, nil
}

// listLog answers log rows, newest first. Rows of deleted webhooks are not listed.
func (p *Portal) listLog(c *call) (any, error) {
	if err := p.admitted(c); err != nil {
		return nil, err
	}
	start, count, err := c.paging(maxPage)
	if err != nil {
		return nil, err
	}
	if count < 1 || count > maxPage {
		return nil, invalid("Count", "The field Count must be between 1 and 100.")
	}
	matches, err := p.logFilter(c)
	if err != nil {
		return nil, err
	}
	var rows []*row
	for _, r := range slices.Backward(p.rows) {
		if h := p.hooks[r.hook]; h != nil && (h.owner == c.user || p.isAdmin(c.user)) && matches(r, h) {
			rows = append(rows, r)
		}
	}
	total := len(rows)
	c.total = &total
	list := []dto{}
	for _, r := range page(rows, start, count) {
		list = append(list, p.rowDTO(r))
	}
	return list, nil
}

func (p *Portal) logFilter(c *call) (func(*row, *hook) bool, error) {
	hookID, err := c.number("configId", 0)
	if err != nil {
		return nil, err
	}
	rowID, err := c.number("eventId", 0)
	if err != nil {
		return nil, err
	}
	groups, err := c.number("groupStatus", 0)
	if err != nil {
		return nil, err
	}
	from, err := c.moment("deliveryFrom")
	if err != nil {
		return nil, err
	}
	to, err := c.moment("deliveryTo")
	if err != nil {
		return nil, err
	}
	trigger, uri, user := c.query.Get("trigger"), c.query.Get("hookUri"), c.query.Get("userId")
	return func(r *row, h *hook) bool {
		switch {
		case hookID != 0 && r.hook != hookID, rowID != 0 && r.id != rowID,
			uri != "" && h.url != uri, user != "" && !strings.EqualFold(user, string(h.owner)),
			trigger != "" && trigger != "0" && !triggerIs(trigger, r.trigger),
			groups != 0 && groups&statusGroup(r.status) == 0:
			return false
		// A row is delivered only if it succeeded, so either bound hides every failure.
		case !from.IsZero() && (r.delivered.IsZero() || r.delivered.Before(from)),
			!to.IsZero() && (r.delivered.IsZero() || r.delivered.After(to)):
			return false
		default:
			return true
		}
	}, nil
}

// moment reads a date from the query.
func (c *call) moment(name string) (time.Time, error) {
	text := c.query.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalid(name, "The value '"+text+"' is not valid.")
}

// triggerIs compares a trigger of the query, a bit value or a name in .NET's style
// (FileUploaded), with a row's.
func triggerIs(wanted, trigger string) bool {
	return wanted == strconv.FormatInt(triggerBit(trigger), 10) ||
		strings.EqualFold(wanted, strings.ReplaceAll(trigger, ".", ""))
}

// statusGroup is the flag of groupStatus a row's status belongs to.
func statusGroup(status int) int {
	switch status / 100 {
	case 2:
		return 2
	case 3:
		return 4
	case 4:
		return 8
	case 5:
		return 16
	default:
		return 1 // not sent
	}
}

// rowDTO is a log row. It does not say which webhook it belongs to; headers and bodies are
// JSON in strings.
func (p *Portal) rowDTO(r *row) dto {
	o := dto{
		"id": r.id, "configName": r.hookName, "trigger": triggerBit(r.trigger),
		"creationTime": p.local(r.logged), "method": "", "route": "",
		"requestPayload": string(r.body), "status": r.status,
	}
	if r.requestHeaders != nil {
		o["requestHeaders"] = jsonText(r.requestHeaders)
	}
	if r.respHeaders != nil {
		o["responseHeaders"] = jsonText(r.respHeaders)
	}
	if r.response != "" {
		o["responsePayload"] = r.response
	}
	if !r.delivered.IsZero() {
		o["delivery"] = p.local(r.delivered)
	}
	return o
}

func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("portalsim: " + err.Error())
	}
	return string(text)
}

// ownRow finds a log row by its number.
func (p *Portal) ownRow(c *call, id int) *row {
	if id < 1 || id > len(p.rows) {
		return nil
	}
	r := p.rows[id-1]
	if _, err := p.ownHook(c, r.hook); err != nil {
		return nil
	}
	return r
}

func (p *Portal) retryOneRow(c *call) (any, error) {
	id, _ := strconv.Atoi(c.param("id"))
	r := p.ownRow(c, id)
	if r == nil {
		return nil, notFound("The delivery was not found")
	}
	return p.rowDTO(p.retryRow(r)), nil
}

// retryRows skips rows that do not exist or are not the caller's.
func (p *Portal) retryRows(c *call) (any, error) {
	var in struct{ IDs []int }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	list := []dto{}
	for _, id := range in.IDs {
		if r := p.ownRow(c, id); r != nil {
			list = append(list, p.rowDTO(p.retryRow(r)))
		}
	}
	return list, nil
}
