package event

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrNotJSON says that a body is not JSON at all, so that nothing can be said about it.
var ErrNotJSON = errors.New("body is not JSON")

// NoEntryError says that a body is JSON but about no file or folder that can be handled. Its text is the reason
// the sender is told.
type NoEntryError struct {
	Reason string
	// Code is the reason in one word, for metrics.
	Code string
	// TooLong: it names an entry, by an id that cannot be stored. Somebody may miss it.
	TooLong bool
}

func (e *NoEntryError) Error() string { return e.Reason }

// What a delivery calls its event, its webhook and its entry is looked up in indexes, whose keys
// have an end in every database: PostgreSQL's at 2700 bytes, which one key shares with the portal's
// name. DocSpace's own ids are short; connected storage names entries by their encoded path.
const (
	longestName    = 256
	longestEntryID = 2000
)

// maxExpected is how many members an object of a delivery is likely to have at most; one with
// more takes memory of its own.
const maxExpected = 32

// Parse normalises the body of a delivery.
//
// It accepts DocSpace's envelope of both generations ({event, payload, webhook}) and the
// flat forms of the public sample: {data:{fileId|id, folderId|roomId|parentId}}, the same
// under "entity", or at the top level. Fields of an unexpected type are treated as absent,
// because DocSpace leaves default values out and adds fields between versions.
//
// The error is ErrNotJSON, or a *NoEntryError for JSON that is no object, names no file or
// folder, or names one by an id that is too long to be stored.
func Parse(body []byte) (Event, error) {
	if !valid(body) {
		return Event{}, ErrNotJSON
	}
	var topBuf, headBuf, hookBuf, entryBuf [maxExpected]field // on the stack
	whole := string(body)
	top, ok := object(whole, topBuf[:0])
	if !ok {
		return Event{}, &NoEntryError{Code: "no_object", Reason: "the body is not a JSON object"}
	}

	head, _ := object(top.get("event"), headBuf[:0])
	hook, _ := object(top.get("webhook"), hookBuf[:0])
	ev := Event{
		ID:        name(head.get("id")),
		WebhookID: name(hook.get("id")),
		Trigger:   firstText(head.get("trigger"), top.get("trigger"), top.get("event")),
		CreatedOn: firstTime(head.get("createOn")),
		CreatedBy: text(head.get("createBy")),
		Webhook:   json.RawMessage(top.get("webhook")),
	}
	if ev.Trigger == "" {
		ev.Trigger = defaultTrigger
	}
	if ev.ID == "" {
		ev.ID = named(body)
	}
	if !hasEntry(ev.Trigger) {
		// Only the family is named: the reason goes back to the sender, who keeps little of it.
		family, _, _ := strings.Cut(ev.Trigger, ".")
		return Event{}, &NoEntryError{Code: "other_trigger", Reason: fmt.Sprintf("an event of a %s is not about a file or folder", family)}
	}

	payload := payloadOf(top, whole)
	ev.Payload = json.RawMessage(payload)
	entry, _ := object(payload, entryBuf[:0])
	if form := entry.get("submittedForm"); ev.Trigger == FormSubmit && isObject(form) {
		entry, _ = object(form, nil)
	}
	ev.Entry = parseEntry(entry, ev.Trigger)
	if ev.Entry.ID == "" {
		return Event{}, &NoEntryError{Code: "no_entry", Reason: "the body names no file or folder"}
	}
	if len(ev.Entry.ID) > longestEntryID {
		return Event{}, &NoEntryError{Code: "id_too_long", TooLong: true, Reason: fmt.Sprintf("the id of the %s has %d bytes, more than %d",
			ev.Entry.Kind, len(ev.Entry.ID), longestEntryID)}
	}
	return ev, nil
}

// payloadOf finds the object that describes the entry: DocSpace's payload, or where the
// public sample looks for it.
func payloadOf(top fields, whole string) string {
	for _, key := range []string{"payload", "data", "entity"} {
		if raw := top.get(key); isObject(raw) {
			return raw
		}
	}
	return whole
}

func parseEntry(f fields, trigger string) Entry {
	e := Entry{
		Kind:       KindOf(trigger),
		ID:         firstID(f.get("fileId"), f.get("id")),
		ParentID:   firstID(f.get("folderId"), f.get("parentId"), f.get("roomId")),
		Title:      text(f.get("title")),
		RootType:   int(integer(f.get("rootFolderType"))),
		CreatedOn:  firstTime(f.get("created"), f.get("createOn")),
		ModifiedOn: firstTime(f.get("updated"), f.get("modifiedOn")),
		CreatedBy:  firstUser(f.get("createdBy"), f.get("createBy")),
		ModifiedBy: firstUser(f.get("updatedBy"), f.get("modifiedBy")),
		Size:       integer(f.get("contentLength")),
		Version:    int(integer(f.get("version"))),
		Comment:    text(f.get("comment")),
		IsForm:     boolean(f.get("isForm")),
	}
	// fileEntryType is DocSpace's own discriminator and beats the trigger's family.
	switch integer(f.get("fileEntryType")) {
	case 1:
		e.Kind = Folder
	case 2:
		e.Kind = File
	}
	// Every stored file has a version of at least 1, so its presence marks a detailed body.
	e.Detailed = e.Version > 0
	return e
}

func text(raw string) string { return cleanText(decodeString(raw)) }

func firstText(raws ...string) string {
	for _, raw := range raws {
		if s := text(raw); s != "" {
			return s
		}
	}
	return ""
}

func identifier(raw string) ID {
	var id ID
	if raw == "" || id.UnmarshalJSON([]byte(raw)) != nil {
		return ""
	}
	return id
}

// name reads what identifies an event or a webhook. One that is too long goes by its digest, which
// is the same for every delivery of it.
func name(raw string) string {
	id := string(identifier(raw))
	if len(id) > longestName {
		return named([]byte(id))
	}
	return id
}

// named is the name of what has none that can be kept.
func named(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func firstID(raws ...string) ID {
	for _, raw := range raws {
		if id := identifier(raw); id != "" {
			return id
		}
	}
	return ""
}

func integer(raw string) int64 {
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func boolean(raw string) bool {
	return raw == "true"
}

// firstTime reads DocSpace's dates: UTC with Z in deliveries, and without a zone where the
// value came straight from the database.
func firstTime(raws ...string) time.Time {
	for _, raw := range raws {
		s := text(raw)
		if s == "" {
			continue
		}
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
			if t, err := time.Parse(layout, s); err == nil {
				return t.UTC()
			}
		}
	}
	return time.Time{}
}

// firstUser reads a user object (next generation) or a plain GUID (3.x).
func firstUser(raws ...string) User {
	for _, raw := range raws {
		var buf [maxExpected]field
		if f, ok := object(raw, buf[:0]); ok {
			return User{ID: text(f.get("id")), DisplayName: text(f.get("displayName")), Email: text(f.get("email"))}
		}
		if id := text(raw); id != "" {
			return User{ID: id}
		}
	}
	return User{}
}
