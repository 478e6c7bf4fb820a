package portalsim

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a portal with a person, a room of theirs, a gateway account that manages the
// room, and a client that calls the API with the gateway's key.
type desk struct {
	t             *testing.T
	p             *Portal
	url, key      string
	client        *http.Client
	ann, gateway  UserID
	room, archive ID // two rooms the gateway manages
}

// fast lets deliveries start without a rest and retries without a wait.
var fast = Timings{QueuePause: -1, RetryWaits: []time.Duration{-1, -1, -1, -1, -1}}

// newDesk starts a portal behind a real listener.
func newDesk(t *testing.T, opts Options) *desk {
	t.Helper()
	p := New(opts)
	transport := &http.Transport{}
	d := furnish(t, p, p.Start(), &http.Client{Transport: transport})
	t.Cleanup(func() {
		p.Close()
		transport.CloseIdleConnections()
	})
	return d
}

// newBubbleDesk makes a portal for a synctest bubble, reached in memory.
func newBubbleDesk(t *testing.T, opts Options) *desk {
	t.Helper()
	p := New(opts)
	t.Cleanup(p.Close)
	return furnish(t, p, p.URL(), p.Client())
}

func furnish(t *testing.T, p *Portal, url string, client *http.Client) *desk {
	d := &desk{t: t, p: p, url: url, client: client}
	d.ann = p.AddUser(User{DisplayName: "Ann Lee", Email: "ann@example.com"})
	d.gateway = p.AddUser(User{DisplayName: "Gateway", Email: "gateway@example.com"})
	d.key = p.AddKey(d.gateway)
	members := map[UserID]Access{d.gateway: RoomManager}
	d.room = p.AddRoom(Room{Title: "Inbox", Owner: d.ann, Members: members})
	d.archive = p.AddRoom(Room{Title: "Filed", Owner: d.ann, Members: members})
	return d
}

// answer is what the portal said.
type answer struct {
	Status     int
	Header     http.Header
	Body       string
	Response   json.RawMessage `json:"response"`
	Count      int             `json:"count"`
	Total      *int            `json:"total"`
	EnvelopeOK int             `json:"status"`
	StatusCode int             `json:"statusCode"`
	Error      struct {
		Message, Type string
	} `json:"error"`
}

// call makes a request with the desk's key; body may be nil.
func (d *desk) call(method, path string, body any) answer {
	d.t.Helper()
	a, err := d.try(context.Background(), method, path, body)
	if err != nil {
		d.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (d *desk) try(ctx context.Context, method, path string, body any) (answer, error) {
	d.t.Helper()
	var payload io.Reader
	if body != nil {
		text, ok := body.(string)
		if !ok {
			encoded, err := json.Marshal(body)
			if err != nil {
				d.t.Fatal(err)
			}
			text = string(encoded)
		}
		payload = bytes.NewReader([]byte(text))
	}
	req, err := http.NewRequestWithContext(ctx, method, d.url+apiPrefix+path, payload)
	if err != nil {
		d.t.Fatal(err)
	}
	if d.key != "" {
		req.Header.Set("Authorization", "Bearer "+d.key)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{Status: resp.StatusCode, Header: resp.Header, Body: string(text)}
	_ = json.Unmarshal(text, &a) // garbage and empty bodies are cases of their own
	return a, nil
}

// as makes a desk that calls with another key.
func (d *desk) as(key string) *desk {
	other := *d
	other.key = key
	return &other
}

// read decodes an answer's response, insisting on success.
func read[T any](t *testing.T, a answer) T {
	t.Helper()
	if a.Status != http.StatusOK {
		t.Fatalf("status %d: %s", a.Status, a.Body)
	}
	var v T
	if err := json.Unmarshal(a.Response, &v); err != nil {
		t.Fatalf("response: %v in %s", err, a.Body)
	}
	return v
}

// wireEntry is a file or folder in an API answer.
type wireEntry struct {
	ID                ID
	Title             string
	FolderID          ID
	ParentID          ID
	RootFolderID      ID
	RootFolderType    int
	RoomType          *int
	ParentRoomType    *int
	Version           int
	ContentLength     string
	PureContentLength int64
	FileExst          string
	Created, Updated  string
	CreatedBy         struct {
		ID          UserID
		DisplayName string
		Email       *string
	}
	Tags     []string
	Security map[string]bool
}

// wireOperation is an operation in an API answer, decoded with DocSpace's own keys.
type wireOperation struct {
	ID        string
	Operation int
	Progress  int
	Error     string
	Processed string
	Finished  bool
	Status    int
	Files     []wireEntry
	Folders   []wireEntry
}

// transfer puts a copy or a move and answers it as it was started.
func (d *desk) transfer(kind string, body map[string]any) wireOperation {
	d.t.Helper()
	if _, ok := body["returnSingleOperation"]; !ok {
		body["returnSingleOperation"] = true
	}
	list := read[[]wireOperation](d.t, d.call("PUT", "files/fileops/"+kind, body))
	if len(list) != 1 {
		d.t.Fatalf("%d operations started, want 1", len(list))
	}
	return list[0]
}

// follow polls an operation until it ended.
func (d *desk) follow(id string) wireOperation {
	d.t.Helper()
	var result wireOperation
	eventually(d.t, func() bool {
		list := read[[]wireOperation](d.t, d.call("GET", "files/fileops?id="+id, nil))
		if len(list) != 1 {
			d.t.Fatalf("%d operations with id %s", len(list), id)
		}
		result = list[0]
		return result.Finished || result.Status >= statusCompleted
	})
	return result
}

// run puts an operation and follows it to its end.
func (d *desk) run(kind string, body map[string]any) wireOperation {
	d.t.Helper()
	op := d.transfer(kind, body)
	if op.Finished {
		return op
	}
	return d.follow(op.ID)
}

// ended waits until the portal has ended all operations, without reading their results.
func (d *desk) ended() {
	d.t.Helper()
	eventually(d.t, func() bool {
		return !slices.ContainsFunc(d.p.Operations(), func(op Operation) bool { return op.Ended.IsZero() })
	})
}

// eventually polls a condition; in a bubble the polling costs simulated time only.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("waited in vain")
		}
	}
}

// delivered waits until all webhooks are through.
func (d *desk) delivered() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := d.p.WaitDelivered(ctx); err != nil {
		d.t.Fatal(err)
	}
}

// delivery is a webhook request as it was received.
type delivery struct {
	Method, URL string
	Header      http.Header
	Body        string
	At          time.Time
	Event       struct {
		ID        int
		CreateOn  string
		CreateBy  UserID
		Trigger   string
		TriggerID int64
	}
	Payload map[string]any
	Webhook map[string]any
}

// receiver keeps the deliveries it gets and answers what it is told to.
type receiver struct {
	mu     sync.Mutex
	got    []delivery
	answer func(n int, w http.ResponseWriter, r *http.Request) // nil: 200
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d := delivery{Method: r.Method, URL: r.URL.String(), Header: r.Header, Body: string(body), At: time.Now()}
	if r.Method == http.MethodPost {
		if err := json.Unmarshal(body, &d); err != nil {
			panic(err)
		}
	}
	rc.mu.Lock()
	rc.got = append(rc.got, d)
	n, answer := len(rc.got), rc.answer
	rc.mu.Unlock()
	if answer != nil {
		answer(n, w, r)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (rc *receiver) deliveries() []delivery {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return slices.Clone(rc.got)
}

// triggers of the deliveries so far, sorted: their order on the wire is nobody's promise.
func (rc *receiver) triggers() []string {
	var names []string
	for _, d := range rc.deliveries() {
		names = append(names, d.Event.Trigger)
	}
	slices.Sort(names)
	return names
}

// listen starts a receiver behind a real listener.
func listen(t *testing.T) (*receiver, string) {
	t.Helper()
	rc := &receiver{}
	server := httptest.NewServer(rc)
	t.Cleanup(server.Close)
	return rc, server.URL + "/hook"
}

func reply(status int) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}
