package portalsim

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// object is a JSON object whose members keep their order. Webhook bodies are built from it
// because their exact bytes are signed, and because the order of the keys is part of what
// a captured delivery looks like.
type object []member

type member struct {
	key   string
	value any
}

// add appends a member unless its value is its type's default: DocSpace leaves null, 0,
// false, the empty id and zero dates out of webhook bodies.
func (o *object) add(key string, value any) {
	switch v := value.(type) {
	case nil:
		return
	case string:
		// .NET's default of a string is null; the simulation has no empty names to keep.
		if v == "" {
			return
		}
	case ID:
		if v == "" || v == "0" {
			return
		}
	case UserID:
		if v == "" {
			return
		}
	case int:
		if v == 0 {
			return
		}
	case int64:
		if v == 0 {
			return
		}
	case bool:
		if !v {
			return
		}
	case time.Time:
		if v.IsZero() {
			return
		}
	case object:
		if v == nil {
			return
		}
	}
	*o = append(*o, member{key, value})
}

// appendNetJSON writes v as .NET's default JSON serialiser would: compact, every character
// outside the safe ASCII set as \uXXXX with upper-case digits, dates in whole seconds UTC.
func appendNetJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case object:
		dst = append(dst, '{')
		for i, m := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendNetString(dst, m.key)
			dst = append(dst, ':')
			dst = appendNetJSON(dst, m.value)
		}
		return append(dst, '}')
	case []string:
		dst = append(dst, '[')
		for i, s := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendNetString(dst, s)
		}
		return append(dst, ']')
	case string:
		return appendNetString(dst, v)
	case UserID:
		return appendNetString(dst, string(v))
	case ID:
		if n, ok := v.number(); ok {
			return strconv.AppendInt(dst, int64(n), 10)
		}
		return appendNetString(dst, string(v))
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case bool:
		return strconv.AppendBool(dst, v)
	case time.Time:
		return appendNetString(dst, v.UTC().Format(webhookTime))
	default:
		panic(fmt.Sprintf("portalsim: no JSON form for %T", v))
	}
}

// webhookTime is how dates look in webhook bodies: whole seconds, UTC, with a Z.
const webhookTime = "2006-01-02T15:04:05Z"

func appendNetString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch r {
		case '\b':
			dst = append(dst, `\b`...)
		case '\t':
			dst = append(dst, `\t`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\\':
			dst = append(dst, `\\`...)
		case '"', '&', '\'', '+', '<', '>', '`', 0x7f:
			dst = appendNetEscape(dst, r)
		default:
			switch {
			case r >= 0x20 && r < utf8.RuneSelf:
				dst = append(dst, byte(r))
			case r > 0xffff:
				high, low := utf16.EncodeRune(r)
				dst = appendNetEscape(dst, high)
				dst = appendNetEscape(dst, low)
			default:
				dst = appendNetEscape(dst, r)
			}
		}
	}
	return append(dst, '"')
}

func appendNetEscape(dst []byte, unit rune) []byte {
	return fmt.Appendf(dst, `\u%04X`, unit)
}
