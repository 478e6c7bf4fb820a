package docspace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"docspace-router/internal/event"
)

// fields is a JSON object read leniently: DocSpace leaves nulls out, adds fields between
// versions, and sends numbers as strings here and there. A field that is missing or of
// another type is zero. Keys are compared exactly, because an operation has a key with a
// capital letter.
type fields map[string]json.RawMessage

func object(raw []byte) (fields, bool) {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || raw[0] != '{' {
		return nil, false
	}
	var f fields
	return f, json.Unmarshal(raw, &f) == nil
}

func array(raw []byte) ([]json.RawMessage, bool) {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	var list []json.RawMessage
	return list, json.Unmarshal(raw, &list) == nil
}

func (f fields) has(key string) bool {
	raw, ok := f[key]
	return ok && !bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

func (f fields) id(key string) event.ID {
	var id event.ID
	if raw, ok := f[key]; !ok || id.UnmarshalJSON(raw) != nil {
		return ""
	}
	return id
}

func (f fields) text(key string) string { return text(f[key]) }

func text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	// A text column of a database cannot hold NUL.
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

// integer reads 3, "3" and 3.0; everything else is 0.
func (f fields) integer(key string) int64 {
	s := strings.TrimSpace(string(f[key]))
	if strings.HasPrefix(s, `"`) {
		s = strings.TrimSpace(text(f[key]))
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(x) < 1<<62 {
		return int64(x)
	}
	return 0
}

func (f fields) flag(key string) bool { return bytes.Equal(f[key], []byte("true")) }

// moment reads DocSpace's dates: with an offset or Z and up to 7 decimals, and without any
// zone where a value came straight from the database, which keeps UTC.
func (f fields) moment(key string) time.Time {
	s := f.text(key)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// user reads a person's object, or the plain GUID that deliveries have in its place.
func (f fields) user(key string) event.User {
	if u, ok := object(f[key]); ok {
		return event.User{ID: u.text("id"), DisplayName: u.text("displayName"), Email: u.text("email")}
	}
	return event.User{ID: f.text(key)}
}

func (f fields) texts(key string) []string {
	list, _ := array(f[key])
	var out []string
	for _, raw := range list {
		if s := text(raw); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func (f fields) flags(key string) map[string]bool {
	set, ok := object(f[key])
	if !ok || len(set) == 0 {
		return nil
	}
	out := make(map[string]bool, len(set))
	for name := range set {
		out[name] = set.flag(name)
	}
	return out
}

// envelope is what DocSpace wraps every answer in. Its count is 1 for streamed lists of any
// length, so it is not read.
type envelope struct {
	response json.RawMessage
	total    int64
}

func openEnvelope(body []byte) (envelope, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return envelope{}, errors.New("empty body")
	}
	if !json.Valid(body) {
		return envelope{}, errors.New("not JSON")
	}
	top, ok := object(body)
	if !ok {
		return envelope{}, errors.New("not a JSON object")
	}
	if !top.has("response") {
		return envelope{}, errors.New("no response in the envelope")
	}
	return envelope{response: top["response"], total: top.integer("total")}, nil
}

func (e envelope) object() (fields, error) {
	f, ok := object(e.response)
	if !ok {
		return nil, errors.New("response is not an object")
	}
	return f, nil
}

func (e envelope) array() ([]json.RawMessage, error) {
	list, ok := array(e.response)
	if !ok {
		return nil, errors.New("response is not a list")
	}
	return list, nil
}

func decodeUser(e envelope) (User, error) {
	f, err := e.object()
	if err != nil {
		return User{}, err
	}
	u := User{
		User:        event.User{ID: f.text("id"), DisplayName: f.text("displayName"), Email: f.text("email")},
		IsAdmin:     f.flag("isAdmin"),
		IsOwner:     f.flag("isOwner"),
		IsRoomAdmin: f.flag("isRoomAdmin"),
		IsVisitor:   f.flag("isVisitor"),
	}
	if u.ID == "" {
		return User{}, errors.New("the user has no id")
	}
	return u, nil
}

func decodeKey(e envelope) (Key, error) {
	f, err := e.object()
	if err != nil {
		return Key{}, err
	}
	return Key{
		Name:        f.text("name"),
		Permissions: f.texts("permissions"),
		IsActive:    f.flag("isActive"),
		ExpiresAt:   f.moment("expiresAt"),
	}, nil
}

func decodeFile(e envelope) (File, error)     { return fileOf(e.response) }
func decodeFolder(e envelope) (Folder, error) { return folderOf(e.response) }

func decodeFolders(e envelope) ([]Folder, error) {
	list, err := e.array()
	if err != nil {
		return nil, err
	}
	return each(list, folderOf)
}

// decodeContents insists on lists of identified entries: what is missing here would be taken
// for absent from the folder, and perhaps copied there a second time.
func decodeContents(e envelope) (Contents, error) {
	f, err := e.object()
	if err != nil {
		return Contents{}, err
	}
	if !f.has("files") && !f.has("folders") {
		return Contents{}, errors.New("neither files nor folders are listed")
	}
	out := Contents{Total: int(f.integer("total"))}
	if !f.has("total") {
		out.Total = int(e.total)
	}
	if out.Files, err = listOf(f, "files", fileOf); err != nil {
		return Contents{}, err
	}
	if out.Folders, err = listOf(f, "folders", folderOf); err != nil {
		return Contents{}, err
	}
	if f.has("current") {
		if out.Current, err = folderOf(f["current"]); err != nil {
			return Contents{}, err
		}
	}
	return out, nil
}

func decodeOperations(e envelope) ([]Operation, error) {
	list, err := e.array()
	if err != nil {
		return nil, err
	}
	return each(list, operationOf)
}

// decodeStarted wants the one operation that was just started: another one's id would make
// the caller follow, and by reading use up, somebody else's result.
func decodeStarted(action event.Action) func(envelope) (Operation, error) {
	return func(e envelope) (Operation, error) {
		list, err := decodeOperations(e)
		if err != nil {
			return Operation{}, err
		}
		if len(list) != 1 {
			return Operation{}, fmt.Errorf("%d operations where the one just started was asked for", len(list))
		}
		raw, _ := e.array()
		f, _ := object(raw[0])
		if got, want := list[0].Type, operationTypes[action]; f.has("Operation") && got != want {
			return Operation{}, fmt.Errorf("an operation of type %d, not %d", got, want)
		}
		return list[0], nil
	}
}

func listOf[T any](f fields, key string, read func(json.RawMessage) (T, error)) ([]T, error) {
	if !f.has(key) {
		return nil, nil
	}
	list, ok := array(f[key])
	if !ok {
		return nil, fmt.Errorf("%s is not a list", key)
	}
	return each(list, read)
}

func each[T any](list []json.RawMessage, read func(json.RawMessage) (T, error)) ([]T, error) {
	out := make([]T, 0, len(list))
	for i, raw := range list {
		v, err := read(raw)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		out = append(out, v)
	}
	return out, nil
}

func fileOf(raw json.RawMessage) (File, error) {
	f, ok := object(raw)
	if !ok {
		return File{}, errors.New("a file is not an object")
	}
	out := File{
		ID:        f.id("id"),
		FolderID:  f.id("folderId"),
		Title:     f.text("title"),
		Size:      f.integer("pureContentLength"),
		Version:   int(f.integer("version")),
		Comment:   f.text("comment"),
		IsForm:    f.flag("isForm"),
		Created:   f.moment("created"),
		Updated:   f.moment("updated"),
		CreatedBy: f.user("createdBy"),
		UpdatedBy: f.user("updatedBy"),
		WebURL:    f.text("webUrl"),
		RootType:  int(f.integer("rootFolderType")),
	}
	if out.ID == "" {
		return File{}, errors.New("a file has no id")
	}
	return out, nil
}

func folderOf(raw json.RawMessage) (Folder, error) {
	f, ok := object(raw)
	if !ok {
		return Folder{}, errors.New("a folder is not an object")
	}
	out := Folder{
		ID:        f.id("id"),
		ParentID:  f.id("parentId"),
		Title:     f.text("title"),
		RoomType:  int(f.integer("roomType")),
		Tags:      f.texts("tags"),
		Created:   f.moment("created"),
		Updated:   f.moment("updated"),
		CreatedBy: f.user("createdBy"),
		RootType:  int(f.integer("rootFolderType")),
		Security:  f.flags("security"),
	}
	if out.ID == "" {
		return Folder{}, errors.New("a folder has no id")
	}
	return out, nil
}

func operationOf(raw json.RawMessage) (Operation, error) {
	f, ok := object(raw)
	if !ok {
		return Operation{}, errors.New("an operation is not an object")
	}
	out := Operation{
		ID:        string(f.id("id")),
		Type:      int(f.integer("Operation")),
		Progress:  int(f.integer("progress")),
		Error:     f.text("error"),
		Processed: int(f.integer("processed")),
		Finished:  f.flag("finished"),
		Status:    int(f.integer("status")),
		Files:     readable(f["files"], fileOf),
		Folders:   readable(f["folders"], folderOf),
	}
	if out.ID == "" {
		return Operation{}, errors.New("an operation has no id")
	}
	return out, nil
}

// readable drops the elements that cannot be read. Here that is right: the answer is the only
// one that ever shows the operation's end, and an entry that it does not name is looked up in
// the destination anyway.
func readable[T any](raw json.RawMessage, read func(json.RawMessage) (T, error)) []T {
	list, _ := array(raw)
	var out []T
	for _, raw := range list {
		if v, err := read(raw); err == nil {
			out = append(out, v)
		}
	}
	return out
}

// statusError describes an answer that is not 2xx. body is its beginning.
func statusError(call string, resp *http.Response, body []byte, key string) *StatusError {
	e := &StatusError{Call: call, StatusCode: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		// Usually http instead of https, or a login page: worth naming, without the query.
		if to, err := resp.Location(); err == nil && to.Host != "" {
			e.Message = redact("redirects to "+to.Scheme+"://"+to.Host, key)
		}
	}
	message, kind, ok := errorBody(body)
	if ok {
		e.Enveloped, e.Message, e.Type = true, redact(message, key), redact(kind, key)
	}
	return e
}

// errorBody reads DocSpace's two error shapes: the error envelope, and what model validation
// gives, an envelope whose response holds the title and the fields' errors.
func errorBody(body []byte) (message, kind string, ok bool) {
	top, whole := object(body)
	if !whole {
		top = beginning(body)
	}
	if f, is := object(top["error"]); is && (top.has("statusCode") || top.has("status") || !whole && f.has("message")) {
		return f.text("message"), f.text("type"), true
	}
	if f, is := object(top["response"]); is && top.integer("status") == 1 && (f.has("title") || f.has("errors")) {
		return validationText(f), "", true
	}
	return "", "", false
}

// beginning reads the error envelope of a body that was cut off at maxError. A long stack
// trace must not make "no such file" look like "no such portal"; message and type come first.
func beginning(body []byte) fields {
	dec := json.NewDecoder(bytes.NewReader(body))
	for _, want := range []json.Token{json.Delim('{'), "error", json.Delim('{')} {
		if tok, err := dec.Token(); err != nil || tok != want {
			return nil
		}
	}
	f := fields{}
	for dec.More() {
		name, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			break
		}
		if s, ok := name.(string); ok {
			f[s] = value
		}
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return nil
	}
	return fields{"error": raw}
}

func validationText(f fields) string {
	parts := []string{f.text("title")}
	wrong, _ := object(f["errors"])
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		parts = append(parts, name+": "+strings.Join(wrong.texts(name), " "))
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}

const maxRetryAfter = 24 * time.Hour

// retryAfter reads how long to wait. Retry-After is in seconds or a date. X-RateLimit-Reset
// is Unix seconds in DocSpace's code and seconds remaining in its documentation; no wait is as
// long as the first and no date as small as the second.
func retryAfter(h http.Header) time.Duration {
	// The server's own clock, where it shows it: ours may differ.
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	const someDate = 1_000_000_000 // 2001
	if s := strings.TrimSpace(h.Get("Retry-After")); s != "" {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return seconds(n)
		}
		if t, err := http.ParseTime(s); err == nil {
			return min(max(t.Sub(now), 0), maxRetryAfter)
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(h.Get("X-RateLimit-Reset")), 10, 64)
	switch {
	case err != nil:
		return 0
	case n >= someDate:
		return seconds(n - now.Unix())
	default:
		return seconds(n)
	}
}

func seconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(maxRetryAfter/time.Second))) * time.Second
}

// redact makes a server's text fit for an error: one line, not endless, and without the key,
// which a proxy's page may quote.
func redact(s, key string) string {
	s = strings.ReplaceAll(s, key, "<secret>")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	return clip(s, 400)
}

func clip(s string, runes int) string {
	n := 0
	for i := range s {
		if n == runes {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
