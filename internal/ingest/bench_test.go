package ingest_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"docspace-router/internal/event"
	"docspace-router/internal/ingest"
	"docspace-router/internal/routing"
	"docspace-router/internal/store"
)

const (
	benchSecret  = "Bench-Secret-1"
	benchClients = 64
)

// BenchmarkIngest asks what the promise "answered means stored" costs. The same keep-alive
// connections take turns between a handler that only reads the body and checks its signature,
// and the whole endpoint with a commit on disk and the route job before every answer. Both run
// in short turns, so that a busy machine slows both alike.
func BenchmarkIngest(b *testing.B) {
	address := serveBench(b)
	clients := make([]*benchClient, benchClients)
	for i := range clients {
		clients[i] = newBenchClient(b, address)
	}

	const perTurn = 32 // requests of each client
	var next int64
	turn := func(path string) time.Duration {
		for _, c := range clients {
			c.prepare(path, perTurn, &next)
		}
		var wg sync.WaitGroup
		started := time.Now()
		for _, c := range clients {
			wg.Go(c.send)
		}
		wg.Wait()
		took := time.Since(started)
		for _, c := range clients {
			if c.err != nil {
				b.Fatal(c.err)
			}
		}
		return took
	}

	turn("/bare") // open the connections and fill the caches
	turn("/webhook/acme")
	var bare, full time.Duration
	turns := 0
	for b.Loop() {
		bare += turn("/bare")
		full += turn("/webhook/acme")
		turns++
	}
	requests := float64(turns * benchClients * perTurn)
	b.ReportMetric(requests/bare.Seconds(), "bare-req/s")
	b.ReportMetric(requests/full.Seconds(), "full-req/s")
	b.ReportMetric(bare.Seconds()/full.Seconds(), "of-bare-rate")
	b.ReportMetric(0, "ns/op") // a turn of both means nothing to anyone
}

func serveBench(b *testing.B) (address string) {
	ctx := b.Context()
	s, err := store.Open(ctx, store.Options{URL: "sqlite://" + filepath.Join(b.TempDir(), "bench.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })

	// As the app does it; nobody works the jobs.
	driver := riversqlite.New(s.DB())
	silent := slog.New(slog.DiscardHandler)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: silent})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		b.Fatal(err)
	}
	client, err := river.NewClient(driver, &river.Config{Logger: silent})
	if err != nil {
		b.Fatal(err)
	}

	h, err := ingest.New(ingest.Options{
		Store: s,
		Enqueue: func(ctx context.Context, tx *sql.Tx, events []int64) error {
			_, err := client.InsertTx(ctx, tx, routing.JobArgs{Events: events}, nil)
			return err
		},
		Portals: func(string) (ingest.Portal, bool) {
			return ingest.Portal{Name: "acme", Secrets: []string{benchSecret}}, true
		},
		Logger: silent,
	})
	if err != nil {
		b.Fatal(err)
	}
	r := mux.NewRouter()
	h.Register(r)
	r.HandleFunc("/bare", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, ingest.MaxBody))
		if err != nil || !event.Verify(body, r.Header.Get(event.SignatureHeader), benchSecret) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"ok"}`))
	})
	running, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = h.Run(running) })
	server := httptest.NewServer(r)
	b.Cleanup(func() {
		server.Close()
		stop()
		wg.Wait()
	})
	return server.Listener.Addr().String()
}

// benchClient is one keep-alive connection. It writes requests that were made ready before
// the clock started, so that as little as possible of the machine is spent on it.
type benchClient struct {
	conn     net.Conn
	answers  *bufio.Reader
	requests [][]byte
	err      error
}

func newBenchClient(b *testing.B, address string) *benchClient {
	conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &benchClient{conn: conn, answers: bufio.NewReader(conn)}
}

func (c *benchClient) prepare(path string, n int, next *int64) {
	c.requests = c.requests[:0]
	for range n {
		*next++
		body := benchBody(*next)
		c.requests = append(c.requests, fmt.Appendf(nil,
			"POST %s HTTP/1.1\r\nHost: router\r\nAccept: */*\r\nContent-Type: application/json; charset=utf-8\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s",
			path, event.SignatureHeader, event.Sign(body, benchSecret), len(body), body))
	}
}

func (c *benchClient) send() {
	for _, request := range c.requests {
		if _, c.err = c.conn.Write(request); c.err != nil {
			return
		}
		var answer *http.Response
		if answer, c.err = http.ReadResponse(c.answers, nil); c.err != nil {
			return
		}
		var text []byte
		if text, c.err = io.ReadAll(answer.Body); c.err != nil {
			return
		}
		if answer.StatusCode != http.StatusOK || !bytes.HasPrefix(text, []byte(`{"status":"ok"}`)) {
			c.err = fmt.Errorf("answer %d: %s", answer.StatusCode, text)
			return
		}
	}
}

// benchBody is a delivery of the next generation, the larger of the two.
func benchBody(id int64) []byte {
	const user = `{"id":"5a0d4f57-8e39-4b0e-9a51-2f6a2c1d7e10","displayName":"Ana Ruiz","userName":"ana.ruiz","email":"ana@example.com","avatar":"/static/images/default_user_photo_size_82-82.png?hash=1203846","profileUrl":"https://acme.example.com/accounts/people/filter?search=ana%40example.com"}`
	return fmt.Appendf(nil, `{"event":{"id":%d,"createOn":"2026-03-02T09:14:07Z","createBy":"5a0d4f57-8e39-4b0e-9a51-2f6a2c1d7e10","trigger":"file.uploaded","triggerId":256},"payload":{"fileEntryType":2,"version":1,"versionGroup":1,"contentLength":48128,"fileType":7,"fileExst":".docx","comment":"Uploaded","viewUrl":"https://acme.example.com/filehandler.ashx?action=download\u0026fileid=%d","webUrl":"https://acme.example.com/doceditor?fileid=%d\u0026version=1","id":%d,"parentId":7310,"rootFolderId":5,"title":"Invoice %d.docx","created":"2026-03-02T09:14:06Z","createdBy":%s,"updated":"2026-03-02T09:14:06Z","updatedBy":%s,"rootFolderType":14},"webhook":{"id":12,"name":"router","url":"https://router.example.com/webhook/acme","triggers":["*"]}}`,
		id, id, id, id, id, user, user)
}
