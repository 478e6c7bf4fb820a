package ingest_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"docspace-router/internal/event"
	"docspace-router/internal/ingest"
	"docspace-router/internal/store"
)

const benchSecret = "Bench-Secret-1"

// routeJob has the shape of routing's job, with the options it is inserted with.
type routeJob struct {
	Events []int64 `json:"events"`
}

func (routeJob) Kind() string { return "route" }

func (routeJob) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: "route", MaxAttempts: math.MaxInt16}
}

// BenchmarkIngest asks what the promise "answered means stored" costs. The same keep-alive
// connections take turns between a handler that only reads the body and checks its signature,
// and the whole endpoint with a commit on disk and the route job before every answer. The
// turns are short, so that a busy machine slows both alike.
//
// The more deliveries arrive at once, the more of them share a commit: the ratio grows with the
// number of senders.
func BenchmarkIngest(b *testing.B) {
	for _, senders := range []int{64, 256, 512, 1024} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) { benchIngest(b, senders, nil) })
	}
}

// BenchmarkIngestTraced is the same with a span for every delivery, all of which are made and thrown
// away: compare its of-bare-rate with that of 256 senders without.
func BenchmarkIngestTraced(b *testing.B) {
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(tracetest.NewNoopExporter()))
	b.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	benchIngest(b, 256, provider.Tracer("bench"))
}

func benchIngest(b *testing.B, senders int, tracer trace.Tracer) {
	const perTurn = 16
	address := serveBench(b, tracer)
	all := make([]*httpSender, senders)
	for i := range all {
		all[i] = newHTTPSender(b, address)
	}
	var next int64
	turn := func(path string) time.Duration {
		for _, s := range all {
			s.reset()
			for range perTurn {
				next++
				body := benchBody(next)
				s.prepare(b, path, body, event.Sign(body, benchSecret))
			}
		}
		var group errgroup.Group
		started := time.Now()
		for _, s := range all {
			group.Go(s.send)
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
		return time.Since(started)
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
	requests := float64(turns * senders * perTurn)
	b.ReportMetric(requests/bare.Seconds(), "bare-req/s")
	b.ReportMetric(requests/full.Seconds(), "full-req/s")
	b.ReportMetric(bare.Seconds()/full.Seconds(), "of-bare-rate")
	b.ReportMetric(0, "ns/op") // a turn of both means nothing to anyone
}

func serveBench(b *testing.B, tracer trace.Tracer) (address string) {
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
		Enqueue: func(ctx context.Context, tx *sql.Tx, _ string, events []int64) error {
			_, err := client.InsertTx(ctx, tx, routeJob{Events: events}, nil)
			return err
		},
		Portals: func(string) (ingest.Portal, bool) {
			return ingest.Portal{Name: "acme", Secrets: []string{benchSecret}}, true
		},
		Logger: silent,
		Tracer: tracer,
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

func checkAnswer(answer *http.Response) error {
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || strings.TrimSpace(string(text)) != `{"status":"ok"}` {
		return fmt.Errorf("answer %d: %s", answer.StatusCode, text)
	}
	return nil
}

type httpSender struct {
	client   *http.Client
	address  string
	requests []*http.Request
}

func newHTTPSender(b *testing.B, address string) *httpSender {
	transport := &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	return &httpSender{client: &http.Client{Transport: transport}, address: address}
}

func (s *httpSender) reset() { s.requests = s.requests[:0] }

func (s *httpSender) prepare(b *testing.B, path string, body []byte, signature string) {
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+s.address+path, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set(event.SignatureHeader, signature)
	s.requests = append(s.requests, r)
}

func (s *httpSender) send() error {
	for _, r := range s.requests {
		answer, err := s.client.Do(r)
		if err != nil {
			return err
		}
		err = checkAnswer(answer)
		answer.Body.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// benchBody is a delivery of the next generation, the larger of the two.
func benchBody(id int64) []byte {
	const user = `{"id":"5a0d4f57-8e39-4b0e-9a51-2f6a2c1d7e10","displayName":"Ana Ruiz","userName":"ana.ruiz","email":"ana@example.com","avatar":"/static/images/default_user_photo_size_82-82.png?hash=1203846","profileUrl":"https://acme.example.com/accounts/people/filter?search=ana%40example.com"}`
	return fmt.Appendf(nil, `{"event":{"id":%d,"createOn":"2026-03-02T09:14:07Z","createBy":"5a0d4f57-8e39-4b0e-9a51-2f6a2c1d7e10","trigger":"file.uploaded","triggerId":256},"payload":{"fileEntryType":2,"version":1,"versionGroup":1,"contentLength":48128,"fileType":7,"fileExst":".docx","comment":"Uploaded","viewUrl":"https://acme.example.com/filehandler.ashx?action=download\u0026fileid=%d","webUrl":"https://acme.example.com/doceditor?fileid=%d\u0026version=1","id":%d,"parentId":7310,"rootFolderId":5,"title":"Invoice %d.docx","created":"2026-03-02T09:14:06Z","createdBy":%s,"updated":"2026-03-02T09:14:06Z","updatedBy":%s,"rootFolderType":14},"webhook":{"id":12,"name":"router","url":"https://router.example.com/webhook/acme","triggers":["*"]}}`,
		id, id, id, id, id, user, user)
}
