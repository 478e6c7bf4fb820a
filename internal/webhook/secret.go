package webhook

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// DocSpace checks a webhook's secret like a password. These are its bounds, whatever the published
// schema says.
const (
	shortestSecret = 8
	longestSecret  = 30
)

// CheckSecret says why DocSpace would not take a secret, without repeating it.
func CheckSecret(secret string) error {
	switch {
	case secret == "":
		return errors.New("there is no secret")
	case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the secret holds a space or a character that is not printable ASCII, which DocSpace does not take")
	case len(secret) < shortestSecret:
		return fmt.Errorf("the secret has %d characters, and DocSpace wants at least %d", len(secret), shortestSecret)
	case len(secret) > longestSecret:
		return fmt.Errorf("the secret has %d characters, and DocSpace takes at most %d", len(secret), longestSecret)
	}
	return nil
}

// NewSecret makes a secret that satisfies any password policy a portal can have. It has about 140
// bits of chance in it, and no character that a shell or a YAML file would stumble over.
func NewSecret() string {
	const groups, each = 4, 6
	for {
		text := rand.Text() // at least 26 upper-case letters and digits
		var b strings.Builder
		bits := make([]byte, groups*each)
		_, _ = rand.Read(bits) // never fails
		for i := range groups * each {
			if i > 0 && i%each == 0 {
				b.WriteByte('-')
			}
			c := rune(text[i])
			if bits[i]&1 == 1 {
				c = unicode.ToLower(c)
			}
			b.WriteRune(c)
		}
		secret := b.String()
		if strings.ContainsFunc(secret, unicode.IsUpper) && strings.ContainsFunc(secret, unicode.IsLower) && strings.ContainsFunc(secret, unicode.IsDigit) {
			return secret
		}
	}
}
