package rules

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxTitle is how long a folder's title may be when DocSpace creates it.
	maxTitle = 165
	// maxSegments bounds the folders of one path.
	maxSegments = 20
)

// Segments takes the text of a path apart into the titles of its folders, as DocSpace will
// store them: a lookup by another title would never find the folder. Segments that say nothing
// (empty ones, "." and "..") are left out, so that a path never leads out of its destination.
func Segments(path string) []string {
	var titles []string
	for segment := range strings.SplitSeq(path, "/") {
		if title := FolderTitle(segment); title != "" && title != "." && title != ".." {
			titles = append(titles, title)
		}
	}
	return titles
}

// FolderTitle is the title DocSpace gives a folder that it is asked to call title: trimmed, cut,
// and with _ for each character it does not allow. Characters beyond U+FFFF are two to DocSpace.
func FolderTitle(title string) string {
	title = strings.TrimSpace(title)
	var b strings.Builder
	n := 0
	for _, r := range title {
		if n == maxTitle {
			break
		}
		n++
		switch {
		case r > 0xFFFF:
			b.WriteByte('_')
			if n < maxTitle {
				b.WriteByte('_')
				n++
			}
		case strings.ContainsRune(`*+:"<>?|\/`, r), unicode.IsControl(r), r == utf8.RuneError:
			b.WriteByte('_')
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(b.String())
}

// path computes the folders below a rule's destinations.
func (ev *evaluation) path(p *part) ([]string, verdict, error) {
	out, v, err := ev.run(*p)
	if err != nil {
		return nil, v, err
	}
	text, ok := out.(string)
	if !ok {
		return nil, broken, fmt.Errorf("the result is %s, not text", show(out))
	}
	segments := Segments(text)
	if len(segments) > maxSegments {
		return nil, broken, fmt.Errorf("the result has more than %d folders", maxSegments)
	}
	return segments, yes, nil
}
