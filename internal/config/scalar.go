package config

import (
	"iter"
	"strconv"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// inScalar finds where a character of a scalar is written. Line and column count from 1 within
// the scalar's value, the result from 1 within the file.
//
// YAML folds and indents text, but it keeps the order of the characters that are not white
// space. So the n-th of those in the value is the n-th in the source, whatever the style, once
// quotes and escapes are seen through.
func (d *document) inScalar(n *yaml.Node, line, column int) (int, int) {
	if n == nil {
		return 1, 1
	}
	wanted, after := ordinal(n.Value, line, column)
	i := 0
	for at, r := range d.characters(n) {
		if unicode.IsSpace(r) {
			continue
		}
		if i == wanted {
			if after {
				at.Column++
			}
			return at.Line, at.Column
		}
		i++
	}
	return max(1, n.Line), max(1, n.Column)
}

// ordinal says which non-space character of value stands at the place, counted from 0. Where
// the place is white space or the end, it is the last one before, and after is true.
func ordinal(value string, line, column int) (n int, after bool) {
	l, c := 1, 1
	for _, r := range value {
		here := l > line || l == line && c >= column
		if !unicode.IsSpace(r) {
			if here {
				return n, false
			}
			n++
		} else if here {
			break
		}
		c++
		if r == '\n' {
			l, c = l+1, 1
		}
	}
	if n == 0 {
		return 0, false
	}
	return n - 1, true
}

// characters yields the characters a scalar stands for with the places they are written at. It
// does not fold lines, so white space may differ from the value's.
func (d *document) characters(n *yaml.Node) iter.Seq2[Position, rune] {
	return func(yield func(Position, rune) bool) {
		c := &cursor{lines: d.rawLines(), line: n.Line, column: n.Column}
		c.skipProperties()
		switch {
		case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
			c.skipLine()
			c.plain(yield)
		case n.Style&yaml.SingleQuotedStyle != 0:
			c.next()
			c.singleQuoted(yield)
		case n.Style&yaml.DoubleQuotedStyle != 0:
			c.next()
			c.doubleQuoted(yield)
		default:
			c.plain(yield)
		}
	}
}

// cursor walks over the source; line and column count from 1.
type cursor struct {
	lines        []string
	line, column int
	rest         []rune // what is left of the line
	loaded       bool
}

// peek returns the character at the cursor, which is a line feed at the end of each line.
func (c *cursor) peek() (rune, bool) {
	if !c.loaded {
		if c.line < 1 || c.line > len(c.lines) {
			return 0, false
		}
		c.rest = []rune(c.lines[c.line-1] + "\n")
		c.rest = c.rest[min(max(c.column-1, 0), len(c.rest)-1):]
		c.loaded = true
	}
	return c.rest[0], true
}

func (c *cursor) next() {
	if _, ok := c.peek(); !ok {
		return
	}
	c.rest = c.rest[1:]
	c.column++
	if len(c.rest) == 0 {
		c.skipLine()
	}
}

func (c *cursor) skipLine() {
	c.line, c.column, c.loaded = c.line+1, 1, false
}

func (c *cursor) at() Position { return Position{Line: c.line, Column: c.column} }

// skipProperties passes over an anchor and a tag. No scalar without quotes starts like one.
func (c *cursor) skipProperties() {
	for {
		r, ok := c.peek()
		if !ok || r != '&' && r != '!' {
			return
		}
		for ok && !unicode.IsSpace(r) {
			c.next()
			r, ok = c.peek()
		}
		for ok && unicode.IsSpace(r) {
			c.next()
			r, ok = c.peek()
		}
	}
}

func (c *cursor) plain(yield func(Position, rune) bool) {
	for {
		r, ok := c.peek()
		if !ok || !yield(c.at(), r) {
			return
		}
		c.next()
	}
}

func (c *cursor) singleQuoted(yield func(Position, rune) bool) {
	for {
		r, ok := c.peek()
		if !ok {
			return
		}
		at := c.at()
		c.next()
		if r == '\'' {
			if again, ok := c.peek(); !ok || again != '\'' {
				return
			}
			c.next()
		}
		if !yield(at, r) {
			return
		}
	}
}

func (c *cursor) doubleQuoted(yield func(Position, rune) bool) {
	for {
		r, ok := c.peek()
		if !ok || r == '"' {
			return
		}
		at := c.at()
		c.next()
		if r == '\\' {
			r = c.escape()
		}
		if !yield(at, r) {
			return
		}
	}
}

// escape reads what follows a backslash. A letter stands for every character that is not
// white space: only that difference matters here.
func (c *cursor) escape() rune {
	r, _ := c.peek()
	c.next()
	digits := 0
	switch r {
	case 'n', 't', 'r', 'v', 'f', 'N', '_', 'L', 'P', ' ', '\t', '\n':
		return ' '
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	default:
		return 'c'
	}
	var hex strings.Builder
	for range digits {
		d, ok := c.peek()
		if !ok {
			break
		}
		hex.WriteRune(d)
		c.next()
	}
	v, err := strconv.ParseUint(hex.String(), 16, 32)
	if err != nil {
		return 'c'
	}
	return rune(v)
}

// lineEnds are what YAML takes for the end of a line.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

func splitLines(text string) []string { return strings.Split(lineEnds.Replace(text), "\n") }
