package config

import (
	"fmt"
	"io"
	"log/slog"
)

const hidden = "<secret>"

// Secret is a value that does not get printed, logged or encoded by accident. The zero value
// holds the empty text.
type Secret struct {
	// A func stays hidden even where a printer looks into unexported fields.
	reveal func() string
}

// NewSecret wraps a value.
func NewSecret(value string) Secret {
	return Secret{reveal: func() string { return value }}
}

// Reveal returns the value.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// Format writes a placeholder for every verb.
func (Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, hidden) }

// String returns a placeholder.
func (Secret) String() string { return hidden }

// LogValue returns a placeholder.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText returns a placeholder; encoding/json uses it too.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalYAML returns a placeholder.
func (Secret) MarshalYAML() (any, error) { return hidden, nil }
