// Package annotate writes titles beside ids in a YAML file, as comments, and changes nothing else.
//
// It works on the text and never encodes it anew: indentation, quotes, line ends and everybody's
// comments stay. What it would write is parsed and compared with what was there before it counts.
//
// Its own comments begin with "# = ". What else is said behind them, after two spaces, belongs to
// people and is kept, as in "room: 539564  # = Client Alpha  # ask Ada before changing this".
package annotate

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"docspace-router/internal/rooms"
)

// Note is the title of what stands at a place of the text, counted from 1.
type Note struct {
	Line, Column int
	Title        string // empty: not known
}

// Result is an annotated text.
type Result struct {
	Text    []byte
	Changed int   // lines
	Left    []int // lines with ids after which no comment fits, as a quoted text goes on in the next
}

const (
	mark    = "# = "
	between = "  " // a title that was written has single spaces only
	unknown = "?"

	bom = "\uFEFF"
	// longest is how many characters of a title are written.
	longest = 100
)

// ErrChanges says that the notes could not be written without changing what the text means.
var ErrChanges = errors.New("the comments would change what the file says")

// Text writes the notes. Lines of which no title is known stay as they are; beside several ids one
// comment has all titles, in order.
func Text(text []byte, notes []Note) (Result, error) {
	body, hadBOM := strings.CutPrefix(string(text), bom)
	lines := splitLines(body)
	var r Result
	for number, titles := range byLine(notes) {
		if number < 1 || number > len(lines) {
			return Result{}, fmt.Errorf("the text has no line %d", number)
		}
		line := &lines[number-1]
		changed, ok := line.annotate(titles)
		if !ok {
			r.Left = append(r.Left, number)
		} else if changed != line.text {
			line.text = changed
			r.Changed++
		}
	}
	slices.Sort(r.Left)
	var out strings.Builder
	if hadBOM {
		out.WriteString(bom)
	}
	for _, l := range lines {
		out.WriteString(l.text + l.end)
	}
	r.Text = []byte(out.String())
	if r.Changed == 0 {
		return r, nil
	}
	if err := same(text, r.Text); err != nil {
		return Result{}, err
	}
	return r, nil
}

// titled is one place of a line and what is called so there, on one portal or another.
type titled struct {
	column int
	titles []string
}

func byLine(notes []Note) map[int][]titled {
	sorted := slices.Clone(notes)
	slices.SortStableFunc(sorted, func(a, b Note) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	out := map[int][]titled{}
	for _, n := range sorted {
		line := out[n.Line]
		if last := len(line) - 1; last < 0 || line[last].column != n.Column {
			line = append(line, titled{column: n.Column})
		}
		at := &line[len(line)-1]
		if title := clean(n.Title); title != "" && !slices.Contains(at.titles, title) {
			at.titles = append(at.titles, title)
		}
		out[n.Line] = line
	}
	return out
}

func clean(title string) string {
	runes := []rune(rooms.Line(title))
	if len(runes) > longest {
		return strings.TrimSpace(string(runes[:longest])) + "…"
	}
	return string(runes)
}

// comment is what is to be said of a line, or "".
func comment(all []titled) string {
	known := false
	words := make([]string, len(all))
	for i, t := range all {
		words[i] = cmp.Or(strings.Join(t.titles, " / "), unknown)
		known = known || len(t.titles) > 0
	}
	if !known {
		return ""
	}
	return strings.Join(words, ", ")
}

// line is a line of the text and what ends it.
type line struct{ text, end string }

// splitLines splits where YAML does.
func splitLines(text string) []line {
	var lines []line
	for text != "" {
		i := strings.IndexAny(text, "\n\r\u0085\u2028\u2029")
		if i < 0 {
			return append(lines, line{text: text})
		}
		size := 1
		switch {
		case strings.HasPrefix(text[i:], "\r\n"), strings.HasPrefix(text[i:], "\u0085"):
			size = 2
		case text[i] > 0x7f:
			size = 3
		}
		lines = append(lines, line{text[:i], text[i : i+size]})
		text = text[i+size:]
	}
	return lines
}

// annotate returns the line with its comment, or false when none can follow.
func (l line) annotate(all []titled) (string, bool) {
	titles := comment(all)
	if titles == "" {
		return l.text, true
	}
	at, ok := commentAt([]rune(l.text), all[0].column-1)
	if !ok {
		return "", false
	}
	code, old := string([]rune(l.text)[:at]), string([]rune(l.text)[at:])
	text := mark + titles
	if people := peoples(old, titles); people != "" {
		text += between + people
	}
	if old == "" {
		bare := strings.TrimRight(code, " \t")
		if spaces := len(code) - len(bare); spaces < len(between) {
			code += between[spaces:]
		}
	}
	return code + text, true
}

// peoples is the part of a comment that somebody else has written. A comment that says nothing but
// the title is as good as ours.
func peoples(old, titles string) string {
	rest, ours := strings.CutPrefix(old, mark)
	if !ours {
		if strings.TrimSpace(strings.TrimLeft(old, "#")) == titles {
			return ""
		}
		return old
	}
	if i := strings.Index(strings.ReplaceAll(rest, "\t", between), between); i >= 0 {
		return strings.TrimLeft(rest[i:], " \t")
	}
	// Somebody wrote on with a single space.
	if people, ok := strings.CutPrefix(rest, titles+" #"); ok {
		return "#" + people
	}
	return ""
}

// commentAt finds where a line's comment begins, or the line's end. from is where a value begins,
// so that neither a comment nor a quoted text is open there.
func commentAt(text []rune, from int) (int, bool) {
	if from < 0 || from > len(text) {
		return 0, false
	}
	begins := true // whether a value would begin here, and a quote would open one
	for i := from; i < len(text); i++ {
		switch r := text[i]; {
		case r == '#' && i > 0 && isBlank(text[i-1]):
			return i, true
		case isBlank(r):
		case begins && (r == '"' || r == '\''):
			end := closing(text, i)
			if end < 0 {
				return 0, false
			}
			i, begins = end, false
		case begins && (r == '&' || r == '!'):
			// An anchor or tag: the value comes after it.
			for i+1 < len(text) && !isBlank(text[i+1]) {
				i++
			}
		default:
			begins = r == ',' || r == '[' || r == '{' || r == ':'
		}
	}
	return len(text), true
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' }

// closing finds the quote that closes the one at i, or -1.
func closing(text []rune, i int) int {
	quote := text[i]
	for i++; i < len(text); i++ {
		switch {
		case quote == '"' && text[i] == '\\':
			i++
		case text[i] != quote:
		case quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return i
		}
	}
	return -1
}

// same reports whether two texts mean the same, comments aside, line for line.
func same(a, b []byte) (err error) {
	defer func() {
		if recover() != nil { // yaml.v3 has been known to panic on malformed input
			err = ErrChanges
		}
	}()
	was, is := yaml.NewDecoder(strings.NewReader(string(a))), yaml.NewDecoder(strings.NewReader(string(b)))
	for {
		var before, after yaml.Node
		errBefore, errAfter := was.Decode(&before), is.Decode(&after)
		switch {
		case errors.Is(errBefore, io.EOF) && errors.Is(errAfter, io.EOF):
			return nil
		case errBefore != nil || errAfter != nil || !equal(&before, &after):
			return ErrChanges
		}
	}
}

// equal compares nodes. What an alias stands for is compared where it is written.
func equal(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Style == b.Style && a.Tag == b.Tag && a.Value == b.Value && a.Anchor == b.Anchor &&
		a.Line == b.Line && a.Column == b.Column && slices.EqualFunc(a.Content, b.Content, equal)
}
