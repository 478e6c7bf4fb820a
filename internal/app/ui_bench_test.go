package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

// BenchmarkIngestWhileTheUIIsUsed delivers in turns with nobody at the pages and with eight people
// there, each of whom has a live page open and looks at another page twice a second. The turns are
// short, so that a busy machine slows both alike.
func BenchmarkIngestWhileTheUIIsUsed(b *testing.B) {
	w := newWorld(b, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.run()
	const senders, perTurn, people = 64, 32, 8
	turn := w.turns(senders, perTurn)
	turn()
	var alone, watched time.Duration
	turns := 0
	for b.Loop() {
		took, _ := turn()
		alone += took
		stop := w.watch(people)
		took, _ = turn()
		watched += took
		stop()
		turns++
	}
	requests := float64(turns * senders * perTurn)
	b.ReportMetric(requests/alone.Seconds(), "alone-req/s")
	b.ReportMetric(requests/watched.Seconds(), "watched-req/s")
	b.ReportMetric(alone.Seconds()/watched.Seconds(), "of-rate-alone")
	b.ReportMetric(0, "ns/op")
}

// turns returns what has each of many senders deliver so many uploads, one after another, and tells how
// long that took, and the longest that one of them waited.
func (w *world) turns(senders, perTurn int) func() (took, longest time.Duration) {
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: senders, MaxIdleConnsPerHost: senders}}
	w.t.Cleanup(client.CloseIdleConnections)
	next := 0
	return func() (took, longest time.Duration) {
		var group errgroup.Group
		waits := make([]time.Duration, senders)
		first := next
		next += senders * perTurn
		began := time.Now()
		for s := range senders {
			group.Go(func() error {
				for i := range perTurn {
					sent := time.Now()
					if err := deliverOne(client, "http://"+w.gateway.Addr()+"/webhook", first+s*perTurn+i+1); err != nil {
						return err
					}
					waits[s] = max(waits[s], time.Since(sent))
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			w.t.Fatal(err)
		}
		return time.Since(began), slices.Max(waits)
	}
}

// deliverOne posts an upload that no rule is about.
func deliverOne(client *http.Client, address string, id int) error {
	body := fmt.Appendf(nil, `{"event":{"id":%d,"createOn":"2026-03-02T09:14:07Z","trigger":"file.updated"},"payload":{"fileEntryType":2,"id":%d,"parentId":1,"title":"Invoice %d.docx","rootFolderType":14},"webhook":{"id":12}}`, id, id, id)
	r, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set(event.SignatureHeader, event.Sign(body, secret))
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %s: %w", answer.Status, err)
	}
	return nil
}

// watch has people use the pages until stop is called.
func (w *world) watch(people int) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var group sync.WaitGroup
	read := func(path string) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.gateway.AdminAddr()+path, http.NoBody)
		if err != nil {
			w.t.Error(err)
			return
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return // the person has gone
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body)
		if answer.StatusCode != http.StatusOK {
			w.t.Errorf("GET %s: %s", path, answer.Status)
		}
	}
	for person := range people {
		group.Go(func() { read("/live") })
		group.Go(func() {
			look := time.NewTicker(500 * time.Millisecond)
			defer look.Stop()
			for i := person; ; i++ {
				read([]string{"/", "/events", "/transfers", "/rules"}[i%4])
				select {
				case <-ctx.Done():
					return
				case <-look.C:
				}
			}
		})
	}
	return func() { cancel(); group.Wait() }
}
