package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// adminFlags say where the admin listener of a running gateway is.
type adminFlags struct{ address, token string }

func (a *adminFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.address, "admin", "http://127.0.0.1:3001", "the `address` of the running gateway's admin listener")
	cmd.Flags().StringVar(&a.token, "admin-token", "", "the `token` the admin listener asks for")
}

// errRefused marks an answer of the admin API that is no success. Its text is the answer's.
var errRefused = errors.New("refused")

// post asks the admin API to do something and reads the answer into a value.
func (a adminFlags) post(ctx context.Context, path string, into any) error {
	return a.call(ctx, apiCall{method: http.MethodPost, path: path}, into)
}

// get asks the admin API for something and reads the answer into a value.
func (a adminFlags) get(ctx context.Context, path string, into any) error {
	return a.call(ctx, apiCall{method: http.MethodGet, path: path}, into)
}

// apiCall is one request to the admin API.
type apiCall struct {
	method, path string
	body         any           // sent as JSON unless nil
	author       string        // who does it, of what is kept; empty: nobody in particular
	within       time.Duration // default a minute
}

// call sends a request to the admin API and reads the answer into a value.
func (a adminFlags) call(ctx context.Context, c apiCall, into any) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.within, time.Minute))
	defer cancel()
	body, err := a.open(ctx, c)
	if err != nil {
		return err
	}
	defer body.Close()
	raw, err := io.ReadAll(io.LimitReader(body, 64<<20))
	if err != nil {
		return fmt.Errorf("ask the gateway at %s: %w", a.address, err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("the answer of %s is not the admin API's: %w", a.address, err)
	}
	return nil
}

// open sends a request to the admin API and returns the body of an answer that is a success.
func (a adminFlags) open(ctx context.Context, c apiCall) (io.ReadCloser, error) {
	address := a.address
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, unreadable(fmt.Errorf("--admin: %q is not an address such as http://127.0.0.1:3001", a.address))
	}
	var body io.Reader
	if c.body != nil {
		raw, err := json.Marshal(c.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, strings.TrimSuffix(address, "/")+c.path, body)
	if err != nil {
		return nil, err
	}
	if c.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.author != "" {
		req.Header.Set("X-Author", c.author)
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, unreachable(address, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("ask the gateway at %s: %w", address, err)
	}
	return nil, refusal(resp.StatusCode, raw)
}

// unreachable says in words that the gateway did not answer.
func unreachable(address string, err error) error {
	return fmt.Errorf("the gateway at %s does not answer: %w: is it running, and is --admin right?", address, causeOf(err))
}

// causeOf is why nothing answered, without the address and the system call that Go names around it.
func causeOf(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	var call *net.OpError
	if errors.As(err, &call) {
		err = call.Err
	}
	var system *os.SyscallError
	if errors.As(err, &system) {
		err = system.Err
	}
	return err
}

// refusal makes an error of an answer, in the API's own words where it has some.
func refusal(code int, raw []byte) error {
	var problem struct {
		Detail string `json:"detail"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	switch {
	case code == http.StatusUnauthorized:
		return fmt.Errorf("%w: the admin token is missing or wrong, give it with --admin-token or ROUTER_ADMIN_TOKEN", errRefused)
	case json.Unmarshal(raw, &problem) != nil || problem.Detail == "":
		return fmt.Errorf("%w: the admin listener answered %d %s", errRefused, code, http.StatusText(code))
	}
	text := problem.Detail
	for _, e := range problem.Errors {
		text += fmt.Sprintf(": %s: %s", e.Location, e.Message)
	}
	return fmt.Errorf("%w: %s", errRefused, text)
}
