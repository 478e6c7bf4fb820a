package docspace

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"docspace-router/internal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "sk-0123456789abcdef"

// startPortal serves handler until the test ends.
func startPortal(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv
}

// answering is a portal that gives every request the same answer.
func answering(t *testing.T, status int, body string, header ...string) *httptest.Server {
	t.Helper()
	return startPortal(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// waits records how long a client waited between attempts, without waiting.
type waits struct {
	mu  sync.Mutex
	all []time.Duration
}

func (w *waits) wait(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, d)
	return ctx.Err()
}

// newClient returns a client that does not really wait between attempts.
func newClient(t *testing.T, url string, change ...func(*Options)) (*Client, *waits) {
	t.Helper()
	o := Options{Portal: "acme", URL: url, APIKey: func() string { return testKey }}
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(c.Close)
	w := &waits{}
	c.wait = w.wait
	return c, w
}

func envelopeOf(response string) string {
	return `{"response":` + response + `,"count":1,"links":[{"href":"https://portal/x","action":"GET"}],"status":0,"statusCode":200}`
}

func testBatch() Batch {
	return Batch{Action: event.Copy, Kind: event.File, IDs: []event.ID{"1"}, Destination: "9", Conflict: event.Duplicate}
}

// read and write are one call each, for tests that do not care which.
func read(ctx context.Context, c *Client) error {
	_, err := c.File(ctx, "1")
	return err
}

func write(ctx context.Context, c *Client) error {
	_, err := c.Start(ctx, testBatch())
	return err
}

func TestNewRefusesUnusableOptions(t *testing.T) {
	t.Parallel()
	good := Options{Portal: "acme", URL: "https://portal.example", APIKey: func() string { return testKey }}
	tests := map[string]struct {
		change func(*Options)
		want   string
	}{
		"no portal name":         {func(o *Options) { o.Portal = "" }, "Portal is required"},
		"no key":                 {func(o *Options) { o.APIKey = nil }, "APIKey is required"},
		"no URL":                 {func(o *Options) { o.URL = "" }, "must be absolute"},
		"URL without scheme":     {func(o *Options) { o.URL = "portal.example" }, "must be absolute"},
		"another scheme":         {func(o *Options) { o.URL = "ftp://portal.example" }, "must be absolute"},
		"URL with password":      {func(o *Options) { o.URL = "https://u:hidden@portal.example" }, "must not hold a user"},
		"URL with query":         {func(o *Options) { o.URL = "https://portal.example?a=b" }, "must not have a query"},
		"malformed URL":          {func(o *Options) { o.URL = "https://u:hidden@portal example" }, "malformed"},
		"negative timeout":       {func(o *Options) { o.Timeout = -1 }, "Timeout"},
		"negative request limit": {func(o *Options) { o.Limits.RequestsPerMinute = -1 }, "negative"},
		"negative write limit":   {func(o *Options) { o.Limits.ConcurrentWrites = -1 }, "negative"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := good
			tt.change(&o)
			_, err := New(o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one about %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hidden") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
	if _, err := New(good); err != nil {
		t.Errorf("good options: %v", err)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	const (
		folder = `{"id":1}`
		op     = `[{"id":"op","Operation":1}]`
	)
	tests := map[string]struct {
		call     func(context.Context, *Client) error
		response string
		want     string // method and URI
		body     string // JSON; "" for none
	}{
		"self": {
			func(ctx context.Context, c *Client) error { _, err := c.Self(ctx); return err },
			`{"id":"u"}`, "GET /api/2.0/people/@self", "",
		},
		"person": {
			func(ctx context.Context, c *Client) error { _, err := c.Person(ctx, "6d1a/x"); return err },
			`{"id":"u"}`, "GET /api/2.0/people/6d1a%2Fx", "",
		},
		"key": {
			func(ctx context.Context, c *Client) error { _, err := c.Key(ctx); return err },
			`{}`, "GET /api/2.0/keys/@self", "",
		},
		"folder path": {
			func(ctx context.Context, c *Client) error { _, err := c.FolderPath(ctx, "7310"); return err },
			`[]`, "GET /api/2.0/files/folder/7310/path", "",
		},
		"folder of a third party escapes its id": {
			func(ctx context.Context, c *Client) error { _, err := c.Folder(ctx, "drive-12-|1A/b?c%d"); return err },
			folder, "GET /api/2.0/files/folder/drive-12-%7C1A%2Fb%3Fc%25d", "",
		},
		"file": {
			func(ctx context.Context, c *Client) error { _, err := c.File(ctx, "90412"); return err },
			folder, "GET /api/2.0/files/file/90412", "",
		},
		"room": {
			func(ctx context.Context, c *Client) error { _, err := c.Room(ctx, "7310"); return err },
			folder, "GET /api/2.0/files/rooms/7310", "",
		},
		"contents never descend and default to a stable full page": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Contents(ctx, "9", ContentsQuery{})
				return err
			},
			`{"files":[]}`, "GET /api/2.0/files/9?count=100&sortBy=AZ&sortOrder=ascending&startIndex=0&withSubFolders=false", "",
		},
		"contents with everything": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Contents(ctx, "9", ContentsQuery{Filter: "a & b", SortBy: ByCreated, Descending: true, Start: 20, Count: 10})
				return err
			},
			`{"files":[]}`, "GET /api/2.0/files/9?count=10&filterValue=a+%26+b&sortBy=DateAndTimeCreation&sortOrder=descending&startIndex=20&withSubFolders=false", "",
		},
		"contents beyond DocSpace's page are cut to it": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Contents(ctx, "9", ContentsQuery{Start: -1, Count: 1000})
				return err
			},
			`{"folders":[]}`, "GET /api/2.0/files/9?count=100&sortBy=AZ&sortOrder=ascending&startIndex=0&withSubFolders=false", "",
		},
		"create folder": {
			func(ctx context.Context, c *Client) error { _, err := c.CreateFolder(ctx, "9", "Ä <1>"); return err },
			folder, "POST /api/2.0/files/folder/9", `{"title":"Ä <1>"}`,
		},
		"copy files of both kinds of storage": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Start(ctx, Batch{Action: event.Copy, Kind: event.File, IDs: []event.ID{"1", "drive-12-|x"}, Destination: "9", Conflict: event.Duplicate})
				return err
			},
			op, "PUT /api/2.0/files/fileops/copy",
			`{"fileIds":[1,"drive-12-|x"],"destFolderId":9,"conflictResolveType":"Duplicate","deleteAfter":false,"returnSingleOperation":true}`,
		},
		"move folders to third-party storage": {
			func(ctx context.Context, c *Client) error {
				_, err := c.Start(ctx, Batch{Action: event.Move, Kind: event.Folder, IDs: []event.ID{"5"}, Destination: "drive-12", Conflict: event.Skip})
				return err
			},
			`[{"id":"op","Operation":0}]`, "PUT /api/2.0/files/fileops/move",
			`{"folderIds":[5],"destFolderId":"drive-12","conflictResolveType":"Skip","deleteAfter":false,"returnSingleOperation":true}`,
		},
		"operation is asked for by id": {
			func(ctx context.Context, c *Client) error { _, err := c.Operation(ctx, "op"); return err },
			op, "GET /api/2.0/files/fileops?id=op", "",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			type seen struct {
				line, body string
				header     http.Header
			}
			got := make(chan seen, 1)
			srv := startPortal(t, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				got <- seen{r.Method + " " + r.RequestURI, string(b), r.Header}
				_, _ = io.WriteString(w, envelopeOf(tt.response))
			})
			c, _ := newClient(t, srv.URL+"/")
			if err := tt.call(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			s := <-got
			if s.line != tt.want {
				t.Errorf("request\n%s\nwant\n%s", s.line, tt.want)
			}
			if tt.body != "" && !sameJSON(t, s.body, tt.body) || tt.body == "" && s.body != "" {
				t.Errorf("body\n%s\nwant\n%s", s.body, tt.body)
			}
			if a := s.header.Get("Authorization"); a != "Bearer "+testKey {
				t.Errorf("Authorization %q", a)
			}
			if u := s.header.Get("User-Agent"); u != "docspace-router" {
				t.Errorf("User-Agent %q", u)
			}
			if ct := s.header.Get("Content-Type"); tt.body != "" && ct != "application/json" {
				t.Errorf("Content-Type %q", ct)
			}
		})
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	norm := func(s string) string {
		var v any
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		out, _ := json.Marshal(v)
		return string(out)
	}
	return norm(a) == norm(b)
}

func TestURLKeepsItsPath(t *testing.T) {
	t.Parallel()
	uri := make(chan string, 1)
	srv := startPortal(t, func(w http.ResponseWriter, r *http.Request) {
		uri <- r.RequestURI
		_, _ = io.WriteString(w, envelopeOf(`{"id":1}`))
	})
	c, _ := newClient(t, srv.URL+"/docspace/")
	if err := read(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got, want := <-uri, "/docspace/api/2.0/files/file/1"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}

func TestSenselessCallsAreNotSent(t *testing.T) {
	t.Parallel()
	srv := startPortal(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("sent: %s %s", r.Method, r.RequestURI) })
	c, _ := newClient(t, srv.URL)
	start := func(change func(*Batch)) func(context.Context) error {
		return func(ctx context.Context) error {
			b := testBatch()
			change(&b)
			_, err := c.Start(ctx, b)
			return err
		}
	}
	tests := map[string]func(context.Context) error{
		"empty id":              func(ctx context.Context) error { _, err := c.File(ctx, ""); return err },
		"id that climbs":        func(ctx context.Context) error { _, err := c.Folder(ctx, ".."); return err },
		"path of a dot":         func(ctx context.Context) error { _, err := c.FolderPath(ctx, "."); return err },
		"contents of nothing":   func(ctx context.Context) error { _, err := c.Contents(ctx, "", ContentsQuery{}); return err },
		"folder without parent": func(ctx context.Context) error { _, err := c.CreateFolder(ctx, "", "a"); return err },
		"folder without title":  func(ctx context.Context) error { _, err := c.CreateFolder(ctx, "1", " \t"); return err },
		"operation without id":  func(ctx context.Context) error { _, err := c.Operation(ctx, ""); return err },
		"empty batch":           start(func(b *Batch) { b.IDs = nil }),
		"batch with an empty id": start(func(b *Batch) {
			b.IDs = []event.ID{"1", ""}
		}),
		"no destination":     start(func(b *Batch) { b.Destination = "" }),
		"no conflict policy": start(func(b *Batch) { b.Conflict = "" }),
		"unknown action":     start(func(b *Batch) { b.Action = "link" }),
		"unknown kind":       start(func(b *Batch) { b.Kind = "room" }),
		"no kind":            start(func(b *Batch) { b.Kind = "" }),
		"room without id":    func(ctx context.Context) error { _, err := c.Room(ctx, ""); return err },
	}
	for name, call := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := call(t.Context())
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v, want ErrInvalid", err)
			}
			if Uncertain(err) || IsPortalDown(err) || IsCredentials(err) {
				t.Errorf("%v was never sent and says nothing about the portal", err)
			}
		})
	}
}
