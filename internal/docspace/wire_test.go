package docspace

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/event"
)

// decoded makes one call against a portal that answers 200 with body.
func decoded[T any](t *testing.T, body string, call func(context.Context, *Client) (T, error)) (T, error) {
	t.Helper()
	srv := answering(t, http.StatusOK, body, "Content-Type", "application/json; charset=utf-8")
	c, _ := newClient(t, srv.URL)
	return call(t.Context(), c)
}

func getFile(ctx context.Context, c *Client) (File, error)     { return c.File(ctx, "1") }
func getFolder(ctx context.Context, c *Client) (Folder, error) { return c.Room(ctx, "1") }

func TestFileDecoding(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		response string
		want     File
	}{
		"a file as DocSpace answers it": {
			`{"id":90412,"folderId":7310,"title":"Invoice 2026-03.pdf","version":2,"versionGroup":1,
			  "contentLength":"1.2 MB","pureContentLength":1258291,"fileExst":".pdf","comment":"Created","isForm":true,
			  "created":"2026-03-02T12:14:06.0000000+03:00","updated":"2026-03-02T12:20:00.1234567+03:00",
			  "createdBy":{"id":"6d1a0f52","displayName":"Ana Ruiz","email":"ana@example.com","hasAvatar":false},
			  "updatedBy":{"id":"c0ffee00"},"webUrl":"https://portal/doceditor?fileid=90412","rootFolderId":5,
			  "rootFolderType":14,"parentRoomType":22,"security":{"Read":true},"order":"1.2","new":{"unknown":[]}}`,
			File{
				ID: "90412", FolderID: "7310", Title: "Invoice 2026-03.pdf", Version: 2, Size: 1258291, Comment: "Created", IsForm: true,
				Created:   time.Date(2026, 3, 2, 9, 14, 6, 0, time.UTC),
				Updated:   time.Date(2026, 3, 2, 9, 20, 0, 123456700, time.UTC),
				CreatedBy: event.User{ID: "6d1a0f52", DisplayName: "Ana Ruiz", Email: "ana@example.com"},
				UpdatedBy: event.User{ID: "c0ffee00"},
				WebURL:    "https://portal/doceditor?fileid=90412", RootType: 14,
			},
		},
		"a file of a third party": {
			`{"id":"drive-12-|1AbC","folderId":"drive-12-|root","title":"a.txt"}`,
			File{ID: "drive-12-|1AbC", FolderID: "drive-12-|root", Title: "a.txt"},
		},
		"nothing but the id": {`{"id":1}`, File{ID: "1"}},
		"numbers as text": {
			`{"id":"1","version":"3","pureContentLength":"12","rootFolderType":"14"}`,
			File{ID: "1", Version: 3, Size: 12, RootType: 14},
		},
		"numbers with a fraction": {`{"id":1,"pureContentLength":12.0,"version":3e0}`, File{ID: "1", Size: 12, Version: 3}},
		"other types count as absent": {
			`{"id":1,"title":7,"version":{},"pureContentLength":"12 KB","isForm":"yes","created":5,"createdBy":[],"updated":"soon","rootFolderType":1e400}`,
			File{ID: "1"},
		},
		"nulls count as absent": {
			`{"id":1,"title":null,"version":null,"isForm":null,"created":null,"createdBy":null}`,
			File{ID: "1"},
		},
		"a person as a GUID": {`{"id":1,"createdBy":"6d1a0f52"}`, File{ID: "1", CreatedBy: event.User{ID: "6d1a0f52"}}},
		"UTC dates and dates without a zone": {
			`{"id":1,"created":"2026-03-02T09:14:06Z","updated":"2026-03-02T09:14:06"}`,
			File{ID: "1", Created: time.Date(2026, 3, 2, 9, 14, 6, 0, time.UTC), Updated: time.Date(2026, 3, 2, 9, 14, 6, 0, time.UTC)},
		},
		"DocSpace's zero date": {`{"id":1,"created":"0001-01-01T00:00:00.0000000Z"}`, File{ID: "1"}},
		"escapes and NUL":      {`{"id":1,"title":"\u00c4 \u0026 b\u0000.pdf"}`, File{ID: "1", Title: "Ä & b\uFFFD.pdf"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decoded(t, envelopeOf(tt.response), getFile)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestFolderDecoding(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		response string
		want     Folder
	}{
		"a room": {
			`{"id":7310,"parentId":5,"title":"Client A","roomType":2,"tags":["client","vip"],"rootFolderType":14,
			  "created":"2026-03-02T12:14:06.0000000+03:00","createdBy":{"id":"u","displayName":"Ana"},
			  "security":{"Read":true,"Create":true,"CopyTo":true,"MoveTo":false}}`,
			Folder{
				ID: "7310", ParentID: "5", Title: "Client A", RoomType: 2, Tags: []string{"client", "vip"}, RootType: 14,
				Created: time.Date(2026, 3, 2, 9, 14, 6, 0, time.UTC), CreatedBy: event.User{ID: "u", DisplayName: "Ana"},
				Security: map[string]bool{"Read": true, "Create": true, "CopyTo": true, "MoveTo": false},
			},
		},
		"a plain folder":        {`{"id":1,"parentId":2,"title":"Inbox"}`, Folder{ID: "1", ParentID: "2", Title: "Inbox"}},
		"odd tags and security": {`{"id":1,"tags":["a",1,null,"",{}],"security":{"Read":"true","Create":1}}`, Folder{ID: "1", Tags: []string{"a"}, Security: map[string]bool{"Read": false, "Create": false}}},
		"no tags no security":   {`{"id":1,"tags":[],"security":{}}`, Folder{ID: "1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decoded(t, envelopeOf(tt.response), getFolder)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if got.IsRoom() != (tt.want.RoomType != 0) {
				t.Errorf("IsRoom() = %v", got.IsRoom())
			}
		})
	}
}

func TestFolderPathKeepsDocSpacesOrder(t *testing.T) {
	t.Parallel()
	// count is 1 whatever the length of the list.
	got, err := decoded(t, envelopeOf(`[{"id":5,"title":"Rooms"},{"id":7310,"roomType":2},{"id":7322}]`),
		func(ctx context.Context, c *Client) ([]Folder, error) { return c.FolderPath(ctx, "7322") })
	if err != nil {
		t.Fatal(err)
	}
	want := []Folder{{ID: "5", Title: "Rooms"}, {ID: "7310", RoomType: 2}, {ID: "7322"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestContentsDecoding(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body string
		want Contents
	}{
		"a page": {
			envelopeOf(`{"files":[{"id":1,"title":"a.pdf"}],"folders":[{"id":"2","title":"b"}],"current":{"id":9},"pathParts":[{"id":5}],"startIndex":0,"count":2,"total":240,"new":0}`),
			Contents{Files: []File{{ID: "1", Title: "a.pdf"}}, Folders: []Folder{{ID: "2", Title: "b"}}, Current: Folder{ID: "9"}, Total: 240},
		},
		"an empty folder": {
			envelopeOf(`{"files":[],"folders":[],"current":{"id":9},"total":0}`),
			Contents{Files: []File{}, Folders: []Folder{}, Current: Folder{ID: "9"}},
		},
		"total beside the response": {`{"response":{"files":[]},"count":1,"total":7,"status":0}`, Contents{Files: []File{}, Total: 7}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decoded(t, tt.body, func(ctx context.Context, c *Client) (Contents, error) { return c.Contents(ctx, "9", ContentsQuery{}) })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestSelfAndKeyDecoding(t *testing.T) {
	t.Parallel()
	user, err := decoded(t, envelopeOf(`{"id":"6d1a","displayName":"Router","email":"r@example.com","isAdmin":true,"isOwner":false,"isRoomAdmin":true}`),
		func(ctx context.Context, c *Client) (User, error) { return c.Self(ctx) })
	if err != nil {
		t.Fatal(err)
	}
	wantUser := User{User: event.User{ID: "6d1a", DisplayName: "Router", Email: "r@example.com"}, IsAdmin: true, IsRoomAdmin: true}
	if diff := cmp.Diff(wantUser, user); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}

	key, err := decoded(t, envelopeOf(`{"id":"k","name":"router","keyPostfix":"cdef","permissions":["files:write","rooms:read"],"isActive":true,"expiresAt":"2026-12-31T00:00:00.0000000Z"}`),
		func(ctx context.Context, c *Client) (Key, error) { return c.Key(ctx) })
	if err != nil {
		t.Fatal(err)
	}
	wantKey := Key{Name: "router", Permissions: []string{"files:write", "rooms:read"}, IsActive: true, ExpiresAt: time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(wantKey, key); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestOperationDecoding(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		response string
		want     Operation
		ended    bool
	}{
		"just created": {
			`[{"id":"op","Operation":1,"progress":0,"error":"","processed":"0","finished":false,"status":0}]`,
			Operation{ID: "op", Type: 1}, false,
		},
		"running, without an error field": {
			`[{"id":"op","Operation":1,"progress":40,"processed":"2","finished":false,"status":1,"files":[{"id":1}]}]`,
			Operation{ID: "op", Type: 1, Progress: 40, Processed: 2, Status: 1, Files: []File{{ID: "1"}}}, false,
		},
		"finished, with results of both storages": {
			`[{"id":"OP","Operation":0,"progress":100,"error":"Access denied","processed":"5","finished":true,"status":2,"files":[{"id":7,"title":"a.pdf"},{"id":"drive-1-|x"}],"folders":[{"id":9}]}]`,
			Operation{ID: "OP", Progress: 100, Error: "Access denied", Processed: 5, Finished: true, Status: 2, Files: []File{{ID: "7", Title: "a.pdf"}, {ID: "drive-1-|x"}}, Folders: []Folder{{ID: "9"}}}, true,
		},
		"nothing to do ends without being finished": {
			`[{"id":"op","Operation":1,"progress":100,"processed":"0","finished":false,"status":2}]`,
			Operation{ID: "op", Type: 1, Progress: 100, Status: 2}, true,
		},
		"an old server sends no status": {
			`[{"id":"op","Operation":1,"processed":1,"finished":true}]`,
			Operation{ID: "op", Type: 1, Processed: 1, Finished: true}, true,
		},
		"a lower-case operation is another key": {`[{"id":"op","operation":1}]`, Operation{ID: "op"}, false},
		"processed that is no number":           {`[{"id":"op","processed":""}]`, Operation{ID: "op"}, false},
		"an unreadable result does not cost the rest": {
			`[{"id":"op","finished":true,"files":[null,{"title":"no id"},"x",{"id":3}]}]`,
			Operation{ID: "op", Finished: true, Files: []File{{ID: "3"}}}, true,
		},
		"the portal answers with more than was asked for": {
			`[{"id":"other","finished":true},{"id":"op","status":1}]`,
			Operation{ID: "op", Status: 1}, false,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decoded(t, envelopeOf(tt.response), func(ctx context.Context, c *Client) (Operation, error) { return c.Operation(ctx, "op") })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if got.Ended() != tt.ended {
				t.Errorf("Ended() = %v, want %v", got.Ended(), tt.ended)
			}
		})
	}
}

func TestOperationThePortalDoesNotKnow(t *testing.T) {
	t.Parallel()
	for name, response := range map[string]string{
		"an empty list":       `[]`,
		"only another's":      `[{"id":"other","finished":true}]`,
		"a list counted as 1": `[ ]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decoded(t, envelopeOf(response), func(ctx context.Context, c *Client) (Operation, error) { return c.Operation(ctx, "op") })
			if !errors.Is(err, ErrUnknownOperation) {
				t.Fatalf("error %v, want ErrUnknownOperation", err)
			}
			if Uncertain(err) || IsGone(err) {
				t.Errorf("%v is neither an uncertain write nor a missing entry", err)
			}
		})
	}
}

// A 2xx that is not what the call promises never turns into an empty result.
func TestGarbledAnswers(t *testing.T) {
	t.Parallel()
	file := func(ctx context.Context, c *Client) error { _, err := c.File(ctx, "1"); return err }
	path := func(ctx context.Context, c *Client) error { _, err := c.FolderPath(ctx, "1"); return err }
	contents := func(ctx context.Context, c *Client) error {
		_, err := c.Contents(ctx, "1", ContentsQuery{})
		return err
	}
	self := func(ctx context.Context, c *Client) error { _, err := c.Self(ctx); return err }
	key := func(ctx context.Context, c *Client) error { _, err := c.Key(ctx); return err }
	operation := func(ctx context.Context, c *Client) error { _, err := c.Operation(ctx, "op"); return err }
	folder := func(ctx context.Context, c *Client) error { _, err := c.CreateFolder(ctx, "1", "a"); return err }
	tests := map[string]struct {
		call func(context.Context, *Client) error
		body string
		want string
	}{
		"no body":                               {write, "", "empty body"},
		"login page":                            {write, "<!DOCTYPE html><html>log in</html>", "not JSON"},
		"half a document":                       {write, `{"response":[{"id":"op","Opera`, "not JSON"},
		"two documents":                         {file, envelopeOf(`{"id":1}`) + `{}`, "not JSON"},
		"a list instead of an envelope":         {write, `[]`, "not a JSON object"},
		"no response":                           {write, `{"count":0,"status":0,"statusCode":200}`, "no response"},
		"null response":                         {path, `{"response":null,"status":0}`, "no response"},
		"error envelope with status 200":        {write, `{"error":{"message":"x"},"status":1,"statusCode":500}`, "no response"},
		"no operation started":                  {write, envelopeOf(`[]`), "0 operations"},
		"other operations beside the new one":   {write, envelopeOf(`[{"id":"a","Operation":1},{"id":"b","Operation":1}]`), "2 operations"},
		"an operation of another type":          {write, envelopeOf(`[{"id":"a","Operation":0}]`), "type 0"},
		"an operation without id":               {write, envelopeOf(`[{"Operation":1}]`), "no id"},
		"an operation that is no object":        {operation, envelopeOf(`["op"]`), "not an object"},
		"operations that are no list":           {operation, envelopeOf(`{"id":"op"}`), "not a list"},
		"a file without id":                     {file, envelopeOf(`{"title":"a"}`), "no id"},
		"a file that is a list":                 {file, envelopeOf(`[]`), "not an object"},
		"a created folder without id":           {folder, envelopeOf(`{"title":"a"}`), "no id"},
		"a path with a folder without id":       {path, envelopeOf(`[{"id":1},{"title":"x"}]`), "element 1"},
		"contents that list nothing":            {contents, envelopeOf(`{"total":3}`), "neither files nor folders"},
		"contents with files that are no list":  {contents, envelopeOf(`{"files":{},"folders":[]}`), "files is not a list"},
		"contents with a file without id":       {contents, envelopeOf(`{"files":[{"title":"a"}]}`), "no id"},
		"contents with a folder without id":     {contents, envelopeOf(`{"files":[],"folders":[null]}`), "not an object"},
		"contents of a folder that is unnamed":  {contents, envelopeOf(`{"files":[],"current":{}}`), "no id"},
		"contents that are a list":              {contents, envelopeOf(`[]`), "not an object"},
		"a user without id":                     {self, envelopeOf(`{"displayName":"x"}`), "no id"},
		"a user that is text":                   {self, envelopeOf(`"x"`), "not an object"},
		"a key that is no object":               {key, envelopeOf(`true`), "not an object"},
		"nesting deeper than anyone would send": {file, envelopeOf(strings.Repeat("[", 20000) + strings.Repeat("]", 20000)), "not JSON"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := answering(t, http.StatusOK, tt.body)
			c, w := newClient(t, srv.URL)
			err := tt.call(t.Context(), c)
			var garbled *GarbledError
			if !errors.As(err, &garbled) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want a GarbledError about %q", err, tt.want)
			}
			if !Uncertain(err) || IsPortalDown(err) || IsCredentials(err) || IsGone(err) || IsForbidden(err) {
				t.Errorf("%v means nothing but that the outcome is unknown", err)
			}
			if len(w.all) != 0 {
				t.Error("a garbled answer was asked for again")
			}
		})
	}
}

func TestGarbledAnswerNamesItsKind(t *testing.T) {
	t.Parallel()
	srv := answering(t, http.StatusOK, "<html>", "Content-Type", "text/html; charset=utf-8")
	c, _ := newClient(t, srv.URL)
	if err := read(t.Context(), c); err == nil || err.Error() != "file: garbled answer: text/html: not JSON" {
		t.Errorf("error %q", err)
	}
}
