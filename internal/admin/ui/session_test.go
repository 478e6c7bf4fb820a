package ui

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestASessionEndsAndCannotBeMade(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	s := newSession("token")
	cookie := s.cookie(now.Add(time.Hour))
	later := s.cookie(now.Add(24 * time.Hour))
	for name, tt := range map[string]struct {
		session session
		cookie  string
		at      time.Time
		want    bool
	}{
		"while it lasts":          {s, cookie, now, true},
		"after its end":           {s, cookie, now.Add(2 * time.Hour), false},
		"of another token":        {newSession("other"), cookie, now, false},
		"with another one's time": {s, later[:11] + cookie[11:], now, false},
		"empty":                   {s, "", now, false},
		"no base64":               {s, "%%%", now, false},
	} {
		if got := tt.session.valid(tt.cookie, tt.at); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	if !s.isToken("token") || s.isToken("toke") || s.isToken("") {
		t.Error("tokens are told apart wrongly")
	}
}

func TestASessionOpensThePagesAlone(t *testing.T) {
	t.Parallel()
	u := &UI{o: Options{Token: "token"}, session: newSession("token"), now: time.Now}
	signedIn := &http.Cookie{Name: sessionCookie, Value: u.session.cookie(time.Now().Add(time.Hour))}
	for path, want := range map[string]struct{ with, without bool }{
		"/": {true, false}, "/transfers": {true, false}, "/live": {true, false}, "/sign-in": {true, true}, "/assets/ui.css": {true, true},
		"/api/v1/status": {false, false}, "/metrics": {false, false}, "/debug/pprof/heap": {false, false}, "/-/reload": {false, false},
	} {
		r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		if got := u.Opens(r); got != want.without {
			t.Errorf("%s without a session: %v", path, got)
		}
		r.AddCookie(signedIn)
		if got := u.Opens(r); got != want.with {
			t.Errorf("%s with a session: %v", path, got)
		}
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"/transfers?q=a": "/transfers?q=a", "": "/", "https://evil.example.com": "/", "//evil.example.com": "/", `/\evil.example.com`: "/", "javascript:x": "/",
	} {
		if got := ownPath(to); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
}
