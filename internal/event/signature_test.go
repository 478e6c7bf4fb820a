package event

import (
	"slices"
	"strings"
	"testing"
)

func TestVerifyTheCapturedDeliveries(t *testing.T) {
	t.Parallel()
	captured := []delivery{
		{"file.created.v3.json", "test123!@#%ABC", "sha256=520FEF8A53886234C06559A5204F54248DE7E346C72BF1A908CC3B098B81D3A8"},
		{"file.created.v4.json", "ednntakm", "sha256=609B57702289EB58113BCCFC4955097C5D4338E10C94DB3C1E1FF8DA87991E21"},
	}
	for _, d := range captured {
		t.Run(d.file, func(t *testing.T) {
			t.Parallel()
			checkDelivery(t, capture(t, d.file), d)
		})
	}
}

func TestVerifyEveryShapeOfDelivery(t *testing.T) {
	t.Parallel()
	for _, d := range deliveries() {
		t.Run(d.file, func(t *testing.T) {
			t.Parallel()
			checkDelivery(t, stored(t, d.file), d)
		})
	}
}

// checkDelivery holds a delivery against its own signature, and every body that differs from
// it in one byte as well.
func checkDelivery(t *testing.T, body []byte, d delivery) {
	t.Helper()
	if got := Sign(body, d.secret); got != d.signature {
		t.Errorf("signed %s, want %s", got, d.signature)
	}
	if !Verify(body, d.signature, d.secret) {
		t.Error("its own signature does not verify")
	}
	for i := range body {
		changed := slices.Clone(body)
		changed[i] ^= 1
		if Verify(changed, d.signature, d.secret) {
			t.Errorf("verifies with byte %d changed", i)
		}
	}
	if Verify(append(slices.Clone(body), '\n'), d.signature, d.secret) {
		t.Error("verifies with a line feed at the end")
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	body := []byte(`{"id":1}`)
	good := Sign(body, "right")
	digits := strings.TrimPrefix(good, "sha256=")
	tests := []struct {
		name, header string
		secrets      []string
		want         bool
	}{
		{"upper case", good, []string{"right"}, true},
		{"lower case", strings.ToLower(good), []string{"right"}, true},
		{"upper-case prefix", "SHA256=" + digits, []string{"right"}, true},
		{"mixed case", "Sha256=" + digits[:7] + strings.ToLower(digits[7:]), []string{"right"}, true},
		{"the second of two secrets", good, []string{"left", "right"}, true},
		{"the first of two secrets", good, []string{"right", "left"}, true},
		{"an empty secret among others", good, []string{"", "right"}, true},
		{"another secret", good, []string{"left"}, false},
		{"no secrets", good, nil, false},
		{"the empty secret never verifies", Sign(body, ""), []string{""}, false},
		{"no header", "", []string{"right"}, false},
		{"no prefix", digits, []string{"right"}, false},
		{"another prefix", "sha512=" + digits, []string{"right"}, false},
		{"the prefix alone", "sha256=", []string{"right"}, false},
		{"one digit short", good[:len(good)-1], []string{"right"}, false},
		{"one byte short", good[:len(good)-2], []string{"right"}, false},
		{"one byte more", good + "00", []string{"right"}, false},
		{"a digit that is none", good[:len(good)-1] + "G", []string{"right"}, false},
		{"a blank inside", "sha256= " + digits[1:], []string{"right"}, false},
		{"two signatures", good + "," + good, []string{"right"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := Verify(body, tt.header, tt.secrets...); got != tt.want {
				t.Errorf("Verify is %v", got)
			}
		})
	}
}

// FuzzVerify: what Sign signs verifies, and no other header does.
func FuzzVerify(f *testing.F) {
	for _, d := range deliveries() {
		f.Add(stored(f, d.file), d.signature, d.secret)
	}
	f.Add([]byte("{}"), "sha256=", "")
	f.Add([]byte(""), "ſha256=", "x")
	f.Fuzz(func(t *testing.T, body []byte, header, secret string) {
		signed := Sign(body, secret)
		if Verify(body, signed, secret) != (secret != "") {
			t.Errorf("its own signature %s under %q", signed, secret)
		}
		if got, want := Verify(body, header, secret), secret != "" && strings.EqualFold(header, signed); got != want {
			t.Errorf("%q verifies: %v, want %v", header, got, want)
		}
	})
}
