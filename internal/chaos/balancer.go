package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// balancer is the one address webhooks go to. It passes each request to one of the gateways
// that are up and, like any such proxy, answers 502 where there is none. When a gateway dies
// over a request, the sender sees its connection break and cannot know what became of it.
type balancer struct {
	server *http.Server
	client *http.Client
	url    string
	served sync.WaitGroup

	mu    sync.Mutex // guards what follows
	names []string
	at    map[string]string
	next  int
}

func newBalancer(ctx context.Context) (*balancer, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &balancer{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}},
		url:    "http://" + l.Addr().String(),
		at:     map[string]string{},
	}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second}
	b.served.Go(func() { _ = b.server.Serve(l) })
	return b, nil
}

func (b *balancer) close() {
	_ = b.server.Close()
	b.served.Wait()
	b.client.CloseIdleConnections()
}

func (b *balancer) add(name, address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at[name] = address
	if !slices.Contains(b.names, name) {
		b.names = append(b.names, name)
	}
}

func (b *balancer) remove(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.names = slices.DeleteFunc(b.names, func(n string) bool { return n == name })
}

// pick takes the gateways in turn.
func (b *balancer) pick() (address string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.names) == 0 {
		return "", false
	}
	b.next++
	return b.at[b.names[b.next%len(b.names)]], true
}

// ServeHTTP passes a request on.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	address, ok := b.pick()
	if !ok {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	onward, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+address+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	onward.Header = r.Header.Clone()
	// Sending it a second time is up to the portal.
	onward.GetBody = nil
	resp, err := b.client.Do(onward)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer)
}
