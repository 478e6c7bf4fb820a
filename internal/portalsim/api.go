package portalsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"
)

// apiPrefix is where the API lives below the portal's URL.
const apiPrefix = "/api/2.0/"

// maxRequest bounds the bodies the simulation reads into memory.
const maxRequest = 64 << 20

// dto is an object of an API answer. Unlike in webhook bodies null members are left out
// but defaults are kept.
type dto = map[string]any

// call is one API request on its way through the portal.
type call struct {
	r     *http.Request
	body  []byte
	query url.Values
	user  UserID // empty for anonymous calls
	key   *apiKey
	total *int // set by paged lists
	plan  plan // faults for the operation this call may start
}

// param is a decoded variable of the path.
func (c *call) param(name string) string {
	value := mux.Vars(c.r)[name]
	if decoded, err := url.PathUnescape(value); err == nil {
		return decoded
	}
	return value
}

func (c *call) id() ID { return ID(c.param("id")) }

// decode reads the JSON body; numbers stay as they were written.
func (c *call) decode(into any) error {
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return invalid("$", "The JSON value could not be converted.")
	}
	return nil
}

// number reads a whole number from the query.
func (c *call) number(name string, otherwise int) (int, error) {
	text := c.query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, invalid(name, "The value '"+text+"' is not valid.")
	}
	return n, nil
}

// flag reads a boolean from the query.
func (c *call) flag(name string, otherwise bool) bool {
	b, err := strconv.ParseBool(c.query.Get(name))
	if err != nil {
		return otherwise
	}
	return b
}

// apiError is an answer other than success.
type apiError struct {
	status  int
	message string
	kind    string // of the .NET exception
	field   string // of a model validation error, which has an envelope of its own
	bare    bool   // no body at all
}

func (e *apiError) Error() string { return e.message }

func notFound(message string) error {
	return &apiError{status: http.StatusNotFound, message: message, kind: "ASC.Common.Web.ItemNotFoundException"}
}

// accessDenied is what every security exception reads, whatever the reason was.
func accessDenied() error {
	return &apiError{status: http.StatusForbidden, message: "Access denied", kind: "System.Security.SecurityException"}
}

// refused is a refusal that keeps its own text.
func refused(message string) error {
	return &apiError{status: http.StatusForbidden, message: message, kind: "System.InvalidOperationException"}
}

func badRequest(message string) error {
	return &apiError{status: http.StatusBadRequest, message: message, kind: "System.ArgumentException"}
}

func unsupported(message string) error {
	return &apiError{status: http.StatusUnsupportedMediaType, message: message, kind: "System.NotSupportedException"}
}

func serverError(message, kind string) error {
	return &apiError{status: http.StatusInternalServerError, message: message, kind: kind}
}

func invalid(field, message string) error {
	return &apiError{status: http.StatusBadRequest, message: message, field: field}
}

func bare(status int) error { return &apiError{status: status, bare: true} }

// endpoint is one operation of the API.
type endpoint struct {
	method, path string // path below the prefix
	area         string // scope area; "" has none of its own
	open         bool   // no key needed
	anyScope     bool   // any valid key will do
	sensitive    bool   // has the narrow limit of its own
	serve        func(*call) (any, error)
}

// routes builds the API. Paths are matched undecoded, because third-party ids carry
// characters that arrive percent-encoded.
func (p *Portal) routes() *mux.Router {
	r := mux.NewRouter().UseEncodedPath().SkipClean(true)
	api := r.PathPrefix(strings.TrimSuffix(apiPrefix, "/")).Subrouter()
	for _, e := range p.endpoints() {
		api.Handle("/"+e.path, p.handler(e)).Methods(e.method)
	}
	other := func(status int) http.Handler {
		return p.handler(endpoint{path: "other", serve: func(*call) (any, error) { return nil, bare(status) }})
	}
	r.NotFoundHandler = other(http.StatusNotFound)
	r.MethodNotAllowedHandler = other(http.StatusMethodNotAllowed)
	return r
}

func (p *Portal) endpoints() []endpoint {
	const get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	return []endpoint{
		// Fixed paths come before files/{id}, which would swallow them.
		{method: get, path: "files/rooms", area: "rooms", serve: p.listRooms},
		{method: get, path: "files/rooms/{id}", area: "rooms", serve: p.getRoom},
		{method: put, path: "files/rooms/{id}/tags", area: "rooms", serve: p.addRoomTags},
		{method: del, path: "files/rooms/{id}/tags", area: "rooms", serve: p.removeRoomTags},
		{method: get, path: "files/tags", area: "files", serve: p.listTags},
		{method: put, path: "files/fileops/copy", area: "files", serve: p.putCopy},
		{method: put, path: "files/fileops/move", area: "files", serve: p.putMove},
		{method: get, path: "files/fileops", area: "files", serve: p.getOperations},
		{method: get, path: "files/fileops/move", area: "files", serve: p.checkConflicts},
		{method: get, path: "files/fileops/checkdestfolder", area: "files", serve: p.checkDestination},
		{method: put, path: "files/fileops/terminate", area: "files", serve: p.terminate},
		{method: put, path: "files/fileops/terminate/{id}", area: "files", serve: p.terminate},
		{method: get, path: "files/fileops/{type}", area: "files", serve: p.getOperationsOfType},
		{method: get, path: "files/file/{id}", area: "files", serve: p.getFile},
		{method: get, path: "files/folder/{id}", area: "files", serve: p.getFolder},
		{method: get, path: "files/folder/{id}/path", area: "files", serve: p.getPath},
		{method: post, path: "files/folder/{id}", area: "files", serve: p.postFolder},
		{method: get, path: "files/{id}", area: "files", serve: p.getContents},
		{method: get, path: "files/{id}/subfolders", area: "files", serve: p.getSubfolders},
		{method: post, path: "files/{id}/file", area: "files", serve: p.postFile},
		{method: post, path: "files/{id}/upload", area: "files", serve: p.postUpload},
		{method: post, path: "files/{id}/insert", area: "files", serve: p.postUpload},

		{method: get, path: "people/@self", area: "accounts.self", serve: p.getSelf},
		{method: get, path: "people/{id}", area: "accounts", serve: p.getPerson},
		{method: get, path: "keys/@self", anyScope: true, serve: p.getOwnKey},
		{method: get, path: "settings", open: true, serve: p.getSettings},
		{method: get, path: "portal", serve: p.getPortal},

		{method: get, path: "settings/webhook", serve: p.listHooks},
		{method: post, path: "settings/webhook", serve: p.postHook},
		{method: put, path: "settings/webhook", serve: p.putHookCall},
		{method: put, path: "settings/webhook/enable", serve: p.enableHook},
		{method: get, path: "settings/webhook/triggers", serve: p.listTriggers},
		{method: put, path: "settings/webhook/retry", sensitive: true, serve: p.retryRows},
		{method: put, path: "settings/webhook/{id}/retry", sensitive: true, serve: p.retryOneRow},
		{method: del, path: "settings/webhook/{id}", serve: p.deleteHook},
		{method: get, path: "settings/webhooks/log", serve: p.listLog},
	}
}

// ServeHTTP answers the portal's API.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	p.wg.Add(1) // under the lock, so that Close cannot have stopped waiting
	p.mu.Unlock()
	defer p.wg.Done()
	w.Header().Set("Date", p.clock().Format(http.TimeFormat))
	p.router.ServeHTTP(w, r)
}

// handler takes a request through the stations a DocSpace request passes: who is it, is
// there budget, may they, do it. Injected faults act between the budget and the rest.
func (p *Portal) handler(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
		if err != nil {
			return // the caller is gone
		}
		c := &call{r: r, body: body, query: r.URL.Query()}
		pattern := apiPrefix + e.path
		read := r.Method == http.MethodGet

		p.mu.Lock()
		c.key = p.keyOf(r)
		who := "ip:" + host(r.RemoteAddr)
		if c.key != nil {
			who = "user:" + string(c.key.owner)
		}
		leave := p.calls.enter(r.Method, pattern, read)
		release, rejected := p.limiter.admit(who, r, e.sensitive)
		if rejected != nil {
			p.calls.Limited++
		}
		var acting []*fault
		if rejected == nil {
			acting = p.takeFaults(r)
		}
		p.mu.Unlock()
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			release()
			leave()
		}()

		if rejected != nil {
			rejected.write(w)
			return
		}
		p.actFaults(w, c, acting, func(w http.ResponseWriter) { p.serve(w, c, e) })
	})
}

// serve authorises the call, runs the operation and writes its answer.
func (p *Portal) serve(w http.ResponseWriter, c *call, e endpoint) {
	p.mu.Lock()
	var result any
	err := p.authorise(c, e)
	if err == nil {
		result, err = e.serve(c)
	}
	p.mu.Unlock()
	if err != nil {
		p.writeError(w, c, err)
		return
	}
	p.writeResult(w, c, result)
}

func (p *Portal) authorise(c *call, e endpoint) error {
	switch {
	case p.state == Restoring:
		return bare(http.StatusForbidden)
	case e.open:
	case p.state == Unpaid:
		return bare(http.StatusPaymentRequired)
	case p.state == Suspended:
		return bare(http.StatusNotFound)
	}
	if c.key.valid() {
		c.user = c.key.owner
		c.key.lastUsed = p.now()
	}
	switch {
	case e.open:
		return nil
	case c.user == "":
		return bare(http.StatusUnauthorized)
	case e.anyScope, c.key.allows(e.area, c.r.Method != http.MethodGet):
		return nil
	default:
		return bare(http.StatusForbidden)
	}
}

// keyOf finds the API key of a request: "Bearer " and a token beginning with "sk-". A bare
// token is another scheme, and any other bearer token another still; neither is served.
func (p *Portal) keyOf(r *http.Request) *apiKey {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || !strings.HasPrefix(token, "sk-") {
		return nil
	}
	return p.keys[token]
}

func host(remote string) string {
	if h, _, err := net.SplitHostPort(remote); err == nil {
		return h
	}
	return remote
}

// writeResult writes the success envelope. Its count is 1 for the streamed lists the
// portal answers with, whatever their length.
func (p *Portal) writeResult(w http.ResponseWriter, c *call, result any) {
	envelope := dto{
		"response": trimFields(result, c.query.Get("fields")),
		"count":    1,
		"links":    []dto{{"href": p.requestURL(c.r), "action": c.r.Method}},
		"status":   0, "statusCode": http.StatusOK,
	}
	if c.total != nil {
		envelope["total"] = *c.total
	}
	writeJSON(w, http.StatusOK, envelope)
}

func (p *Portal) writeError(w http.ResponseWriter, c *call, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{status: http.StatusInternalServerError, message: err.Error(), kind: "System.Exception"}
	}
	switch {
	case e.bare:
		w.WriteHeader(e.status)
	case e.field != "":
		writeJSON(w, e.status, dto{
			"response": dto{
				"title": "One or more validation errors occurred.", "status": e.status,
				"errors": dto{e.field: []string{e.message}},
			},
			"count": 1, "links": []dto{{"href": p.requestURL(c.r), "action": c.r.Method}},
			"status": 1, "statusCode": e.status,
		})
	default:
		writeErrorEnvelope(w, e.status, e.message, e.kind)
	}
}

func writeErrorEnvelope(w http.ResponseWriter, status int, message, kind string) {
	writeJSON(w, status, dto{
		"error": dto{
			"message": message, "type": kind,
			"stack": "   at ASC.Files.Api.OperationController", "hresult": -2146233088,
		},
		"status": 1, "statusCode": status,
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("portalsim: encode answer: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func (p *Portal) requestURL(r *http.Request) string {
	return p.URL() + r.URL.EscapedPath()
}

// trimFields keeps only the members named, comma-separated, of the object or objects an
// answer consists of.
func trimFields(result any, fields string) any {
	if fields == "" {
		return result
	}
	keep := map[string]bool{}
	for name := range strings.SplitSeq(fields, ",") {
		keep[strings.ToLower(strings.TrimSpace(name))] = true
	}
	trim := func(o dto) dto {
		kept := dto{}
		for name, value := range o {
			if keep[strings.ToLower(name)] {
				kept[name] = value
			}
		}
		return kept
	}
	switch v := result.(type) {
	case dto:
		return trim(v)
	case []dto:
		list := make([]dto, 0, len(v))
		for _, o := range v {
			list = append(list, trim(o))
		}
		return list
	default:
		return result
	}
}

// local prints a date as API answers carry it: the portal's local time with its offset, or
// Z where that is none, and seven decimals.
func (p *Portal) local(t time.Time) string {
	return t.In(p.zone).Format("2006-01-02T15:04:05.0000000Z07:00")
}

// paging reads startIndex and count.
func (c *call) paging(standard int) (start, count int, err error) {
	if start, err = c.number("startIndex", 0); err != nil {
		return 0, 0, err
	}
	if count, err = c.number("count", standard); err != nil {
		return 0, 0, err
	}
	return max(start, 0), count, nil
}

// page cuts a list.
func page[T any](list []T, start, count int) []T {
	start = min(start, len(list))
	return list[start:min(start+max(count, 0), len(list))]
}
