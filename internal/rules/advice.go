package rules

import (
	"fmt"
	"regexp"
	"strings"
)

// sizes matches a number with a unit behind it, as people write sizes.
var sizes = regexp.MustCompile(`(?i)\b(\d+(?:\.\d+)?) ?([KMG]B)\b`)

// otherWords are operators of other languages, and what is meant by them.
var otherWords = map[string]string{
	`unexpected "="`: "write == to compare", `unexpected "&"`: "write && or and",
	`unexpected "AND"`: "write and, or &&", `unexpected "OR"`: "write or, or ||",
}

// advise says of a mistake in an expression's grammar what to write instead, where it is one of
// those that people make.
func advise(f finding, source string) finding {
	if f.message == "literal not terminated" {
		f.message = "a quote is not closed"
		return f
	}
	if f.hint = otherWords[f.message]; f.hint != "" || f.at < 0 {
		return f
	}
	if !strings.HasPrefix(f.message, "unexpected ") && !strings.HasPrefix(f.message, "bad number syntax") {
		return f
	}
	characters := []rune(source)
	at := len(string(characters[:min(f.at, len(characters))]))
	for _, m := range sizes.FindAllStringSubmatchIndex(source, -1) {
		if m[0] <= at && at <= m[1] {
			f.message = "between a number and its unit stands a *"
			f.hint = fmt.Sprintf("write %s * %s", source[m[2]:m[3]], strings.ToUpper(source[m[4]:m[5]]))
		}
	}
	return f
}
