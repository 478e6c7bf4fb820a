package portalsim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Transport answers requests to any host from the portal, without a network. Unlike a
// connection it takes part in the simulated time of a testing/synctest bubble.
func (p *Portal) Transport() http.RoundTripper { return HandlerTransport(p) }

// Client is an http.Client on Transport.
func (p *Portal) Client() *http.Client { return &http.Client{Transport: p.Transport()} }

// HandlerTransport answers requests from a handler, in memory. A handler that panics with
// http.ErrAbortHandler drops the connection, as under net/http's server. Given as the
// transport of Options.HTTPClient it lets webhooks reach a handler under test.
func HandlerTransport(h http.Handler) http.RoundTripper { return handlerTransport{h} }

type handlerTransport struct{ handler http.Handler }

func (t handlerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	// The handler sees what a server would have made of the request.
	in := req.Clone(req.Context())
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "192.0.2.1:1234"
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	in.Header = http.Header{}
	for name, values := range req.Header {
		for _, v := range values {
			if v != "" {
				in.Header.Add(name, v)
			}
		}
	}
	if in.Body == nil {
		in.Body = http.NoBody
	} else {
		body, err := io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("send request: %w", err)
		}
		in.Body = io.NopCloser(bytes.NewReader(body))
		in.ContentLength = int64(len(body))
	}

	w := &memoryWriter{header: http.Header{}}
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					done <- fmt.Errorf("read answer: %w", io.ErrUnexpectedEOF)
					return
				}
				panic(v)
			}
			done <- nil
		}()
		t.handler.ServeHTTP(w, in)
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
		return w.response(req), nil
	case <-req.Context().Done():
		return nil, req.Context().Err() // the handler goes on without anybody listening
	}
}

// memoryWriter collects an answer.
type memoryWriter struct {
	header http.Header
	sent   http.Header // header as it was when the answer began
	status int
	body   bytes.Buffer
}

func (w *memoryWriter) Header() http.Header { return w.header }

func (w *memoryWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		w.sent = w.header.Clone()
	}
}

func (w *memoryWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

func (w *memoryWriter) response(req *http.Request) *http.Response {
	w.WriteHeader(http.StatusOK)
	body := w.body.Bytes()
	if req.Method == http.MethodHead {
		body = nil
	}
	return &http.Response{
		Status:     strconv.Itoa(w.status) + " " + http.StatusText(w.status),
		StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)), Request: req,
	}
}

// replay sends the collected answer on.
func (w *memoryWriter) replay(to http.ResponseWriter) {
	w.WriteHeader(http.StatusOK)
	for name, values := range w.sent {
		to.Header()[name] = values
	}
	to.WriteHeader(w.status)
	_, _ = to.Write(w.body.Bytes())
}
