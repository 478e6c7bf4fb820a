package rules

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxShown bounds a value in an explanation, in bytes.
const maxShown = 200

// show writes a value as an expression would.
func show(v any) string {
	var s string
	switch v := v.(type) {
	case nil:
		return "nil"
	case string:
		s = strconv.Quote(v)
	case time.Time:
		return v.Format(time.RFC3339)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprintf("a %T", v)
		}
		s = string(b)
	}
	if len(s) > maxShown {
		cut := maxShown
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}

// describe says which facts are meant, in the words of the rules file.
func (f fact) describe() string {
	var out []string
	for _, w := range []struct {
		of   fact
		word string
	}{
		{factTitle, "the entry's title"},
		{factDetails, "the file's size, version, comment and form flag"},
		{factParent, "the entry's folder"},
		{factTimes, "the entry's dates"},
		{factAuthor, "the entry's author"},
		{factAuthorName, "the author's name"},
		{factAuthorEmail, "the author's e-mail address"},
		{factRoom, "the entry's room"},
		{factTags, "the room's tags"},
	} {
		if f&w.of != 0 {
			out = append(out, w.word)
		}
	}
	if len(out) == 1 && (f == factDetails || f == factTimes || f == factTags) {
		return out[0] + " are"
	}
	if len(out) > 1 {
		return strings.Join(out, ", ") + " are"
	}
	return strings.Join(out, ", ") + " is"
}
