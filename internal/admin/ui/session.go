package ui

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	sessionCookie = "docspace-router-session"
	noticeCookie  = "docspace-router-notice"
	sessionTime   = 12 * time.Hour
)

// session makes and checks the cookies of people who have signed in. A cookie is the time it ends
// and that time's HMAC, whose key is made of the token: any replica with the same token accepts
// it, nothing is stored, and a new token ends every session.
type session struct {
	token string
	key   []byte
}

func newSession(token string) session {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("docspace-router session"))
	return session{token: token, key: mac.Sum(nil)}
}

// isToken compares in a time that tells nothing, not even the token's length.
func (s session) isToken(token string) bool {
	a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func (s session) sign(end []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(end)
	return mac.Sum(nil)
}

func (s session) cookie(ends time.Time) string {
	end := binary.BigEndian.AppendUint64(nil, uint64(ends.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(end, s.sign(end)...))
}

func (s session) valid(cookie string, now time.Time) bool {
	raw, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(raw) != 8+sha256.Size || !hmac.Equal(raw[8:], s.sign(raw[:8])) {
		return false
	}
	return now.Before(time.Unix(int64(binary.BigEndian.Uint64(raw[:8])), 0))
}

// SignedIn reports whether a request may see the pages: it carries a session, or nobody needs one.
func (u *UI) SignedIn(r *http.Request) bool {
	if u.o.Token == "" {
		return true
	}
	c, err := r.Cookie(sessionCookie)
	return err == nil && u.session.valid(c.Value, u.now())
}

// Opens reports whether a request that carries no token may pass nevertheless: with a session to
// the pages, without one to where people sign in.
func (u *UI) Opens(r *http.Request) bool {
	switch path := r.URL.Path; {
	case path == "/sign-in", strings.HasPrefix(path, "/assets/"):
		return true
	case strings.HasPrefix(path, "/api/"), strings.HasPrefix(path, "/debug/"), strings.HasPrefix(path, "/-/"), path == "/metrics", path == "/readyz":
		return false // they are for programs, which send the token itself
	}
	return u.SignedIn(r)
}

// AskToSignIn leads somebody who wants a page to where they sign in. It reports false for a
// request that wants no page.
func (u *UI) AskToSignIn(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return false
	}
	to := "/sign-in?to=" + url.QueryEscape(r.URL.RequestURI())
	if r.Header.Get("Hx-Request") != "" {
		w.Header().Set("Hx-Redirect", to)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return true
}

type signInView struct {
	To    string
	Wrong bool
}

func (u *UI) signInPage(w http.ResponseWriter, r *http.Request) error {
	if u.SignedIn(r) {
		http.Redirect(w, r, ownPath(r.FormValue("to")), http.StatusSeeOther)
		return nil
	}
	return u.render(w, r, http.StatusOK, "sign-in", view{Title: "Sign in", Body: signInView{To: ownPath(r.FormValue("to"))}})
}

func (u *UI) signIn(w http.ResponseWriter, r *http.Request) error {
	to := ownPath(r.PostFormValue("to"))
	if u.o.Token != "" && !u.session.isToken(r.PostFormValue("token")) {
		u.log.Warn("sign-in refused", "reason", "the admin token is wrong", "remote", r.RemoteAddr)
		return u.render(w, r, http.StatusUnauthorized, "sign-in", view{Title: "Sign in", Body: signInView{To: to, Wrong: true}})
	}
	ends := u.now().Add(sessionTime)
	setCookie(w, r, sessionCookie, u.session.cookie(ends), ends)
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

func (u *UI) signOut(w http.ResponseWriter, r *http.Request) error {
	setCookie(w, r, sessionCookie, "", time.Unix(1, 0))
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	return nil
}

func setCookie(w http.ResponseWriter, r *http.Request, name, value string, ends time.Time) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", Expires: ends, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
}

// ownPath is a path of this site, whatever it was asked to be.
func ownPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
		return "/"
	}
	return to
}

// notice leaves word for the page that follows an action.
func notice(w http.ResponseWriter, r *http.Request, text string, now time.Time) {
	setCookie(w, r, noticeCookie, base64.RawURLEncoding.EncodeToString([]byte(text)), now.Add(time.Minute))
}

func takeNotice(w http.ResponseWriter, r *http.Request) string {
	c, err := r.Cookie(noticeCookie)
	if err != nil || c.Value == "" {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return ""
	}
	setCookie(w, r, noticeCookie, "", time.Unix(1, 0))
	return string(text)
}
