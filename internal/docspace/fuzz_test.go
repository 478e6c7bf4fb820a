package docspace

import (
	"net/http"
	"testing"
	"time"
	"unicode/utf8"

	"docspace-router/internal/event"
)

// FuzzAnswer feeds any body to every decoder: none may panic, and whatever is accepted has
// the ids that the rest of the gateway relies on.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"", "null", "[]", "<html>", notFound, denied,
		envelopeOf(`[]`), envelopeOf(`null`), envelopeOf(`{"id":"drive-12-|x"}`),
		envelopeOf(`[{"id":"op","Operation":1,"processed":"2","finished":true,"files":[{"id":1,"title":"a"}]}]`),
		envelopeOf(`{"files":[{"id":1,"pureContentLength":1e3,"created":"2026-03-02T12:14:06.0000000+03:00"}],"folders":[{"id":"2","tags":["a"],"security":{"Create":true}}],"current":{"id":9},"total":"4"}`),
		`{"response":{"title":"x","status":400,"errors":{"a":["b"]}},"status":1,"statusCode":400}`,
		`{"error":{"message":"x","stack":"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if message, kind, ok := errorBody(body); !ok && message+kind != "" {
			t.Errorf("text %q, %q of no envelope", message, kind)
		}
		e := statusError("file", &http.Response{StatusCode: 404, Header: http.Header{}}, body, testKey)
		if len(e.Message) > 4*400+len("…") || !utf8.ValidString(e.Error()) {
			t.Errorf("message %q", e.Message)
		}

		env, err := openEnvelope(body)
		if err != nil {
			return
		}
		named := func(ids ...event.ID) {
			t.Helper()
			for _, id := range ids {
				if id == "" {
					t.Errorf("an entry without id in %q", body)
				}
			}
		}
		dated := func(at time.Time) {
			if !at.IsZero() && at.Location() != time.UTC {
				t.Errorf("%v is not in UTC", at)
			}
		}
		if v, err := decodeFile(env); err == nil {
			named(v.ID)
			dated(v.Created)
		}
		if v, err := decodeFolder(env); err == nil {
			named(v.ID)
		}
		if list, err := decodeFolders(env); err == nil {
			for _, v := range list {
				named(v.ID)
			}
		}
		if v, err := decodeContents(env); err == nil {
			for _, x := range v.Files {
				named(x.ID)
			}
			for _, x := range v.Folders {
				named(x.ID)
			}
		}
		for _, action := range []event.Action{event.Copy, event.Move} {
			if v, err := decodeStarted(action)(env); err == nil {
				named(event.ID(v.ID))
				for _, x := range v.Files {
					named(x.ID)
				}
			}
		}
		if v, err := decodeUser(env); err == nil {
			named(event.ID(v.ID))
		}
		_, _ = decodeKey(env)
	})
}
