package docspace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"
)

var (
	// ErrInvalid says that a call was refused before anything was sent, because DocSpace
	// could only misunderstand it: an empty id, an empty batch, an unknown action.
	// Repeating it changes nothing.
	ErrInvalid = errors.New("invalid request")

	// ErrNoKey says that Options.APIKey returned nothing that can be sent as a key.
	ErrNoKey = errors.New("no usable API key")

	// ErrUnknownOperation says that the portal does not list an operation. It may have
	// ended and been read before, have expired (results live about 60 s, and an operation
	// without progress for 60 s is dropped), or belong to another account. What it did is
	// unknown; only the destination tells.
	ErrUnknownOperation = errors.New("the portal does not know the operation")
)

// StatusError says that the portal, or a proxy before it, answered with a status other than
// 2xx. Redirects are never followed, so 3xx is among them.
type StatusError struct {
	Call       string // which call, e.g. "folder_path" or "copy"
	StatusCode int

	// Message is DocSpace's text, in the language of the key's owner and often no more than
	// "Access denied": to be shown, never to be compared. Empty without an envelope, except
	// that a redirect names its target's scheme and host.
	Message string

	// Type is the .NET exception's name, e.g. "ASC.Common.Web.ItemNotFoundException"; often
	// empty.
	Type string

	// RetryAfter is how long the portal asks to be left alone: from Retry-After, else from
	// X-RateLimit-Reset, at most 24 h. It is 0 when the portal does not say, as with most
	// 429s: only the exhausted budget of writes per day comes with a time.
	RetryAfter time.Duration

	// Enveloped is true when the body was a DocSpace JSON error, so that DocSpace itself
	// refused this very request. Bad credentials, missing scopes, a suspended portal, 429
	// and every proxy answer without one.
	Enveloped bool
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s: portal answered %d", e.Call, e.StatusCode)
	if text := http.StatusText(e.StatusCode); text != "" {
		s += " " + text
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// UnansweredError says that a request got no answer, or none that was complete.
type UnansweredError struct {
	Call string

	// Sent is false when nothing of the request can have reached the portal: no name, no
	// connection, no TLS, or a context that ended while waiting for a turn. It is true once
	// a connection was there to write to, and whenever that is not known.
	Sent bool

	// Err is the cause, freed of URLs. It matches context.Canceled or
	// context.DeadlineExceeded only when the caller's own context ended; when the portal
	// was too slow it is a net.Error whose Timeout is true.
	Err error
}

func (e *UnansweredError) Error() string {
	if e.Sent {
		return fmt.Sprintf("%s: no answer: %v", e.Call, e.Err)
	}
	return fmt.Sprintf("%s: not sent: %v", e.Call, e.Err)
}

// Unwrap returns the cause.
func (e *UnansweredError) Unwrap() error { return e.Err }

// GarbledError says that the portal answered 2xx with something other than the JSON the call
// promises: a proxy's login page, half a document, an answer without the object asked for.
// What a write did is unknown.
type GarbledError struct {
	Call string
	Err  error
}

func (e *GarbledError) Error() string {
	return fmt.Sprintf("%s: garbled answer: %v", e.Call, e.Err)
}

// Unwrap returns what was wrong with the answer.
func (e *GarbledError) Unwrap() error { return e.Err }

// IsGone reports whether DocSpace said that the entry does not exist (404 with its JSON). On
// a copy or move it may mean any of the sources or the destination. A vanished entry does not
// always give 404: see the package documentation.
func IsGone(err error) bool {
	e, ok := status(err)
	return ok && e.StatusCode == http.StatusNotFound && e.Enveloped
}

// IsForbidden reports whether DocSpace refused this request for lack of rights (403 with its
// JSON). The account may still reach other entries.
func IsForbidden(err error) bool {
	e, ok := status(err)
	return ok && e.StatusCode == http.StatusForbidden && e.Enveloped
}

// IsRateLimited reports whether the portal answered 429, and how long it asks to wait: 0 when
// it does not say, which is the rule for the limits per minute and of parallel requests (a few
// seconds, at most 60, pass them). Hours mean that the day's budget of writes is used up.
func IsRateLimited(err error) (time.Duration, bool) {
	e, ok := status(err)
	if !ok || e.StatusCode != http.StatusTooManyRequests {
		return 0, false
	}
	return e.RetryAfter, true
}

// IsPortalDown reports whether the portal could not be reached at all: no connection, 502,
// 503 or 504, or a gobreaker circuit breaker around the call that is not letting it through.
// A slow or cut-off answer is no such sign, because one heavy request can cause it, and
// neither is a context that the caller ended.
func IsPortalDown(err error) bool {
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return true
	}
	if e, ok := status(err); ok {
		return isGatewayStatus(e.StatusCode)
	}
	var e *UnansweredError
	return errors.As(err, &e) && !e.Sent && !isContextEnd(e.Err)
}

// IsCredentials reports whether the portal refuses the gateway as such, so that no call will
// do until a person has looked: the key is missing, unknown, expired or inactive (401, or no
// key at all), lacks the scope (403 without JSON), or the portal is unpaid (402 without JSON)
// or suspended or removed (404 without JSON, which is also what a wrong URL gives).
func IsCredentials(err error) bool {
	if errors.Is(err, ErrNoKey) {
		return true
	}
	e, ok := status(err)
	if !ok {
		return false
	}
	switch e.StatusCode {
	case http.StatusUnauthorized:
		return true
	case http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound:
		return !e.Enveloped
	}
	return false
}

// LacksScope reports whether the API key lacks the scope that a call needs (403 without JSON). A
// proxy may answer so as well.
func LacksScope(err error) bool {
	e, ok := status(err)
	return ok && e.StatusCode == http.StatusForbidden && !e.Enveloped
}

// IsForeign reports whether the answer did not come from DocSpace's API but from something
// before it: a redirect to a maintenance page, a proxy's own refusal. It says nothing about
// what was asked for, and nothing was done.
func IsForeign(err error) bool {
	e, ok := status(err)
	return ok && !e.Enveloped && e.StatusCode < 500
}

// Uncertain reports whether a failed write may have taken effect all the same: it was sent
// and not answered, the answer was garbled, or a server error came without DocSpace's JSON,
// as from a proxy that gave up waiting. It is false for nil and for errors of other packages.
func Uncertain(err error) bool {
	var unanswered *UnansweredError
	if errors.As(err, &unanswered) {
		return unanswered.Sent
	}
	var garbled *GarbledError
	if errors.As(err, &garbled) {
		return true
	}
	e, ok := status(err)
	return ok && e.StatusCode >= 500 && !e.Enveloped
}

func status(err error) (*StatusError, bool) {
	var e *StatusError
	ok := errors.As(err, &e)
	return e, ok
}

func isGatewayStatus(code int) bool {
	return code == http.StatusBadGateway || code == http.StatusServiceUnavailable || code == http.StatusGatewayTimeout
}

func isContextEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func invalid(call, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", call, ErrInvalid, fmt.Sprintf(format, args...))
}

// timeoutError is a timeout of ours or of the network. It stands in for the original where
// that claims to be context.DeadlineExceeded, as package net's does: callers take that for
// the end of their own context.
type timeoutError struct{ text string }

func (e *timeoutError) Error() string { return e.text }
func (*timeoutError) Timeout() bool   { return true }

// Temporary makes it a net.Error; it says nothing.
func (*timeoutError) Temporary() bool { return true }

var _ net.Error = (*timeoutError)(nil)

// withoutURL removes what would carry a URL into an error's text, and withholds a text that
// shows the key, for whatever reason a transport may have to quote a header.
func withoutURL(err error, key string) error {
	var wrapped *url.Error
	for errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if key != "" && strings.Contains(err.Error(), key) {
		return errors.New("the transport failed (text withheld: it quotes the API key)")
	}
	return err
}
