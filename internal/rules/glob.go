package rules

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Glob reports whether all of s fits pattern, in which * stands for any run of characters and
// ? for one. Every other character stands for itself, and case does not matter, as it does
// not when DocSpace compares titles.
func Glob(pattern, s string) bool {
	// On a mismatch only the latest * can take more, so the work is at most len(pattern)*len(s).
	p, i := 0, 0
	star, resume := -1, 0
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		if p < len(pattern) {
			q, qsize := utf8.DecodeRuneInString(pattern[p:])
			if q == '*' {
				star, resume = p, i
				p += qsize
				continue
			}
			if q == '?' || sameFold(q, r) {
				p += qsize
				i += size
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, skip := utf8.DecodeRuneInString(s[resume:])
		resume += skip
		p, i = star+1, resume
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func sameFold(a, b rune) bool {
	return a == b || unicode.ToLower(a) == unicode.ToLower(b)
}

// globFunction is Glob as expressions call it.
func globFunction(params ...any) (any, error) {
	pattern, ok1 := params[0].(string)
	s, ok2 := params[1].(string)
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("glob wants two texts, got %T and %T", params[0], params[1])
	}
	return Glob(pattern, s), nil
}
