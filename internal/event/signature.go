package event

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// SignatureHeader is the HTTP header in which DocSpace sends a delivery's signature.
const SignatureHeader = "X-Docspace-Signature-256"

// Verify reports whether header is the signature of body under any of the secrets.
//
// DocSpace sends "sha256=" and the hex HMAC-SHA256 over the exact bytes of the body, keyed
// with the secret's UTF-8 bytes; it writes upper-case hex, and any case is accepted. The
// comparison takes the same time wherever the difference lies and whichever secret fits.
// Without secrets nothing verifies.
func Verify(body []byte, header string, secrets ...string) bool {
	const prefix = "sha256="
	if len(header) < len(prefix) || !strings.EqualFold(header[:len(prefix)], prefix) {
		return false
	}
	got, err := hex.DecodeString(header[len(prefix):])
	if err != nil || len(got) != sha256.Size {
		return false
	}
	valid := false
	for _, secret := range secrets {
		if secret != "" && hmac.Equal(got, sum(body, secret)) {
			valid = true
		}
	}
	return valid
}

// Sign returns the signature header DocSpace would send for body under secret.
func Sign(body []byte, secret string) string {
	return "sha256=" + strings.ToUpper(hex.EncodeToString(sum(body, secret)))
}

func sum(body []byte, secret string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return mac.Sum(nil)
}
