package event

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// fields are the members of one JSON object with their values as they came. A delivery is read
// once at the endpoint and once by routing; maps of everything in it would cost more than all
// else either does with it.
type fields []field

type field struct {
	name  string
	value json.RawMessage
}

// get returns the member of that name, or nil. The last of several counts, as it does for
// encoding/json.
func (f fields) get(name string) json.RawMessage {
	for i := len(f) - 1; i >= 0; i-- {
		if f[i].name == name {
			return f[i].value
		}
	}
	return nil
}

// object appends the members of a JSON object to f. The text must be valid JSON; it reports
// false for whatever is not an object.
func object(raw json.RawMessage, f fields) (fields, bool) {
	if !isObject(raw) {
		return nil, false
	}
	gjson.ParseBytes(raw).ForEach(func(name, value gjson.Result) bool {
		f = append(f, field{decodeString([]byte(name.Raw)), json.RawMessage(value.Raw)})
		return true
	})
	return f, true
}

func isObject(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && raw[0] == '{'
}

// decodeString returns the text of a JSON string, or "" for any other value.
func decodeString(raw []byte) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	plain := raw[1 : len(raw)-1]
	for _, c := range plain {
		if c == '\\' || c >= utf8.RuneSelf {
			var s string
			if json.Unmarshal(raw, &s) != nil {
				return ""
			}
			return s
		}
	}
	return string(plain)
}
