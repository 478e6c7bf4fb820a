package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrNotJSON says that a body is not JSON at all, so that nothing can be said about it.
var ErrNotJSON = errors.New("body is not JSON")

// NoEntryError says that a body is JSON but about no file or folder. Its text is the reason
// the sender is told.
type NoEntryError struct{ Reason string }

func (e *NoEntryError) Error() string { return e.Reason }

// Parse normalises the body of a delivery.
//
// It accepts DocSpace's envelope of both generations ({event, payload, webhook}) and the
// flat forms of the public sample: {data:{fileId|id, folderId|roomId|parentId}}, the same
// under "entity", or at the top level. Fields of an unexpected type are treated as absent,
// because DocSpace leaves default values out and adds fields between versions.
//
// The error is ErrNotJSON, or a *NoEntryError for JSON that is no object or names no file or
// folder.
func Parse(body []byte) (Event, error) {
	if !json.Valid(body) {
		return Event{}, ErrNotJSON
	}
	top, ok := object(body)
	if !ok {
		return Event{}, &NoEntryError{Reason: "the body is not a JSON object"}
	}

	head, _ := object(top["event"])
	hook, _ := object(top["webhook"])
	ev := Event{
		ID:        string(identifier(head["id"])),
		WebhookID: string(identifier(hook["id"])),
		Trigger:   firstText(head["trigger"], top["trigger"], top["event"]),
		CreatedOn: firstTime(head["createOn"]),
		CreatedBy: text(head["createBy"]),
		Webhook:   top["webhook"],
	}
	if ev.Trigger == "" {
		ev.Trigger = defaultTrigger
	}
	if ev.ID == "" {
		digest := sha256.Sum256(body)
		ev.ID = "sha256:" + hex.EncodeToString(digest[:])
	}
	if !hasEntry(ev.Trigger) {
		return Event{}, &NoEntryError{Reason: fmt.Sprintf("%s is not about a file or folder", ev.Trigger)}
	}

	ev.Payload = payloadOf(top, body)
	fields, _ := object(ev.Payload)
	if ev.Trigger == FormSubmit {
		if submitted, ok := object(fields["submittedForm"]); ok {
			fields = submitted
		}
	}
	ev.Entry = parseEntry(fields, ev.Trigger)
	if ev.Entry.ID == "" {
		return Event{}, &NoEntryError{Reason: "the body names no file or folder"}
	}
	return ev, nil
}

// payloadOf finds the object that describes the entry: DocSpace's payload, or where the
// public sample looks for it.
func payloadOf(top map[string]json.RawMessage, body []byte) json.RawMessage {
	for _, key := range []string{"payload", "data", "entity"} {
		if _, ok := object(top[key]); ok {
			return top[key]
		}
	}
	return body
}

func parseEntry(f map[string]json.RawMessage, trigger string) Entry {
	e := Entry{
		Kind:       KindOf(trigger),
		ID:         firstID(f["fileId"], f["id"]),
		ParentID:   firstID(f["parentId"], f["folderId"], f["roomId"]),
		Title:      text(f["title"]),
		RootType:   int(integer(f["rootFolderType"])),
		CreatedOn:  firstTime(f["created"], f["createOn"]),
		ModifiedOn: firstTime(f["updated"], f["modifiedOn"]),
		CreatedBy:  firstUser(f["createdBy"], f["createBy"]),
		ModifiedBy: firstUser(f["updatedBy"], f["modifiedBy"]),
		Size:       integer(f["contentLength"]),
		Version:    int(integer(f["version"])),
		Comment:    text(f["comment"]),
		IsForm:     boolean(f["isForm"]),
	}
	// fileEntryType is DocSpace's own discriminator and beats the trigger's family.
	switch integer(f["fileEntryType"]) {
	case 1:
		e.Kind = Folder
	case 2:
		e.Kind = File
	}
	// Every stored file has a version of at least 1, so its presence marks a detailed body.
	e.Detailed = e.Version > 0
	return e
}

func object(raw json.RawMessage) (map[string]json.RawMessage, bool) {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || raw[0] != '{' {
		return nil, false
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil, false
	}
	return m, true
}

func text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return cleanText(s)
}

func firstText(raws ...json.RawMessage) string {
	for _, raw := range raws {
		if s := text(raw); s != "" {
			return s
		}
	}
	return ""
}

func identifier(raw json.RawMessage) ID {
	var id ID
	if len(raw) == 0 || id.UnmarshalJSON(raw) != nil {
		return ""
	}
	return id
}

func firstID(raws ...json.RawMessage) ID {
	for _, raw := range raws {
		if id := identifier(raw); id != "" {
			return id
		}
	}
	return ""
}

func integer(raw json.RawMessage) int64 {
	var n int64
	if len(raw) == 0 || json.Unmarshal(raw, &n) != nil {
		return 0
	}
	return n
}

func boolean(raw json.RawMessage) bool {
	return bytes.Equal(raw, []byte("true"))
}

// firstTime reads DocSpace's dates: UTC with Z in deliveries, and without a zone where the
// value came straight from the database.
func firstTime(raws ...json.RawMessage) time.Time {
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
func firstUser(raws ...json.RawMessage) User {
	for _, raw := range raws {
		if f, ok := object(raw); ok {
			return User{ID: text(f["id"]), DisplayName: text(f["displayName"]), Email: text(f["email"])}
		}
		if id := text(raw); id != "" {
			return User{ID: id}
		}
	}
	return User{}
}
