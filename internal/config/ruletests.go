package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"docspace-router/internal/event"
	"docspace-router/internal/rules"
)

// Tests is a file of rule tests, validated.
type Tests struct {
	Name   string              // how the file was named
	Rules  string              // the path of the rules it is about, as written; "" when it does not say
	Places map[event.ID]*Place // the rooms and folders the tests speak of
	Cases  []Case              // in file order; never empty
}

// Place is a room or folder that tests speak of. All there is to know about it is here.
type Place struct {
	ID    event.ID
	Title string
	In    *Place   // nil for a room
	Type  string   // of a room, as expressions name it; default "custom"
	Tags  []string // of a room
	At    Position
}

// Case is one rule test: an event and the transfers it must lead to.
type Case struct {
	Name   string
	Given  Given
	Expect []Expected // empty: none
	At     Position
}

// Given is the event of a test. It comes from the body of a delivery (Body), or is made of the
// fields below it. What a test leaves out is not known, rather than empty.
type Given struct {
	Portal string // "" when it does not say
	Body   string // the path of a file with a delivery's body, as written; "" without one

	Trigger string
	Kind    event.Kind
	ID      event.ID
	Title   string
	In      *Place // nil only with Body
	Size    *int64 // nil: not known
	Version int    // default 1
	Comment string
	IsForm  bool
	By      *Person // nil: not known
	When    time.Time
	At      Position
}

// Person is who did something, and whose file it is.
type Person struct {
	event.User
	Gateway bool // it is the gateway's own account
}

// Expected is a transfer that a test expects. Empty fields of the second group match any.
type Expected struct {
	Action event.Action
	To     event.ID
	Path   string // folders below To; "" is To itself

	Rule     string
	Conflict event.Conflict
	At       Position
}

var (
	testKeys       = schema{"version", "rules", "portal", "rooms", "tests"}
	roomKeys       = schema{"title", "type", "tags", "folders"}
	folderKeys     = schema{"title", "folders"}
	caseKeys       = schema{"name", "given", "expect"}
	givenKeys      = schema{"portal", "trigger", "in", "file", "folder", "by", "at", "body"}
	givenFileKeys  = schema{"id", "title", "size", "version", "comment", "is_form"}
	givenEntryKeys = schema{"id", "title"}
	personKeys     = schema{"id", "email", "display_name"}
	expectedKeys   = schema{"action", "to", "path", "rule", "conflict"}
)

// What a test means that does not say: it keeps tests repeatable.
var (
	defaultTime = time.Date(2026, 1, 15, 9, 30, 0, 0, time.UTC)
	defaultID   = event.ID("1")
)

// gatewayName is what tests call the gateway's own account.
const gatewayName = "gateway"

// TestsSuffix is how files of rule tests are named, so that they can lie beside the rules.
const TestsSuffix = "_test.yaml"

// IsTestsFile reports whether a file holds rule tests, by its name.
func IsTestsFile(name string) bool { return strings.HasSuffix(name, TestsSuffix) }

// LoadTests reads and validates a file of rule tests. The error is Problems, or a *FileError
// when there is no readable file.
func LoadTests(path string) (*Tests, error) {
	text, err := readFile(path, maxFile)
	if err != nil {
		return nil, err
	}
	return ParseTests(path, text)
}

// ParseTests validates the text of a file of rule tests. Problems name the file as name. The
// error, if any, is Problems.
func ParseTests(name string, text []byte) (*Tests, error) {
	rd := testsReader{
		document: &document{name: name, text: string(text)},
		tests:    &Tests{Name: name, Places: map[event.ID]*Place{}}, names: map[string]*yaml.Node{},
	}
	rd.read()
	if len(rd.problems) > 0 {
		rd.problems.sort()
		return nil, rd.problems
	}
	return rd.tests, nil
}

type testsReader struct {
	*document
	tests  *Tests
	portal string
	names  map[string]*yaml.Node
}

func (rd *testsReader) read() {
	top := rd.root()
	if top == nil {
		return
	}
	f, ok := rd.mapping(top, "", testKeys)
	if !ok {
		return
	}
	if n := f.need("version", "write version: 1"); n != nil {
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || n.Value != "1" {
			rd.add(n, "version", "", "must be 1, the only version there is")
		}
	}
	if n := f.get("rules"); n != nil {
		rd.tests.Rules, _ = rd.someText(n, "rules")
	}
	if n := f.get("portal"); n != nil {
		rd.portal, _ = rd.someText(n, "portal")
	}
	if n := f.get("rooms"); n != nil {
		rd.rooms(n)
	}
	if n := f.need("tests", "add a list of tests"); n != nil {
		items, _ := rd.list(n, "tests", "")
		for i, item := range items {
			rd.test(item, index("tests", i))
		}
	}
}

// inOrder lists the keys as they are written.
func (f fields) inOrder() []string {
	return slices.SortedFunc(maps.Keys(f.byName), func(a, b string) int {
		x, y := f.byName[a].key, f.byName[b].key
		return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
}

// someText reads text that must not be empty.
func (d *document) someText(n *yaml.Node, path string) (string, bool) {
	s, ok := d.str(n, path)
	if ok && strings.TrimSpace(s) == "" {
		d.add(n, path, "", "the text is empty")
		return "", false
	}
	return s, ok
}

func (rd *testsReader) rooms(n *yaml.Node) {
	f, ok := rd.anyMapping(n, "rooms")
	if !ok {
		return
	}
	for _, id := range f.inOrder() {
		at := f.byName[id]
		p := rd.place(id, at, f.sub(id), nil)
		if p == nil {
			continue
		}
		p.Type = "custom"
		if at.value.Kind == yaml.ScalarNode {
			p.Title, _ = rd.someText(at.value, f.sub(id))
			continue
		}
		room, ok := rd.mapping(at.value, f.sub(id), roomKeys)
		if !ok {
			continue
		}
		rd.titleAndFolders(room, p)
		if n := room.get("type"); n != nil {
			p.Type = rd.oneOf(n, room.sub("type"), "type of room", rules.RoomTypes())
		}
		if n := room.get("tags"); n != nil {
			items, _ := rd.list(n, room.sub("tags"), "")
			for i, item := range items {
				if tag, ok := rd.someText(item, index(room.sub("tags"), i)); ok {
					p.Tags = append(p.Tags, tag)
				}
			}
		}
	}
}

// place notes a room or folder under its id.
func (rd *testsReader) place(id string, at field, path string, in *Place) *Place {
	key := *at.key
	if _, ok := rd.id(&key, path); !ok || at.value == nil {
		return nil
	}
	if isNull(at.value) {
		rd.add(at.key, path, "give it a title", "%s is empty", id)
		return nil
	}
	if first := rd.tests.Places[event.ID(id)]; first != nil {
		rd.add(at.key, path, "", "%s is described twice, first in line %d", id, first.At.Line)
		return nil
	}
	p := &Place{ID: event.ID(id), In: in, At: rd.at(at.key)}
	rd.tests.Places[p.ID] = p
	return p
}

func (rd *testsReader) titleAndFolders(f fields, p *Place) {
	if n := f.need("title", ""); n != nil {
		p.Title, _ = rd.someText(n, f.sub("title"))
	}
	n := f.get("folders")
	if n == nil {
		return
	}
	folders, ok := rd.anyMapping(n, f.sub("folders"))
	if !ok {
		return
	}
	for _, id := range folders.inOrder() {
		at, path := folders.byName[id], folders.sub(id)
		below := rd.place(id, at, path, p)
		switch {
		case below == nil:
		case at.value.Kind == yaml.ScalarNode:
			below.Title, _ = rd.someText(at.value, path)
		default:
			if f, ok := rd.mapping(at.value, path, folderKeys); ok {
				rd.titleAndFolders(f, below)
			}
		}
	}
}

func (rd *testsReader) test(n *yaml.Node, path string) {
	f, ok := rd.mapping(n, path, caseKeys)
	if !ok {
		return
	}
	c := Case{At: rd.at(n)}
	if n := f.need("name", "say what the test shows"); n != nil {
		if c.Name, ok = rd.someText(n, f.sub("name")); ok {
			if first := rd.names[c.Name]; first != nil {
				rd.add(n, f.sub("name"), "", "the name is taken by the test in line %d", first.Line)
			}
			rd.names[c.Name] = n
		}
	}
	if n := f.need("given", "say which event there was"); n != nil {
		rd.given(n, f.sub("given"), &c.Given)
	}
	if n := f.need("expect", "list the transfers, or write none"); n != nil {
		rd.expect(n, f.sub("expect"), &c)
	}
	rd.tests.Cases = append(rd.tests.Cases, c)
}

func (rd *testsReader) expect(n *yaml.Node, path string, c *Case) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == "none":
		return
	case n.Kind == yaml.ScalarNode:
		rd.add(n, path, "list the transfers, or write none", "must be a list or none")
		return
	case n.Kind == yaml.SequenceNode && len(n.Content) == 0:
		return
	}
	items, _ := rd.list(n, path, "write - {action: copy, to: 1}, or none")
	for i, item := range items {
		f, ok := rd.mapping(item, index(path, i), expectedKeys)
		if !ok {
			continue
		}
		e := Expected{At: rd.at(item)}
		if n := f.need("action", "write copy or move"); n != nil {
			e.Action = event.Action(rd.oneOf(n, f.sub("action"), "action", actions))
		}
		if n := f.need("to", "give the id of the destination folder"); n != nil {
			e.To, _ = rd.id(n, f.sub("to"))
		}
		if n := f.get("path"); n != nil {
			e.Path, _ = rd.someText(n, f.sub("path"))
		}
		if n := f.get("rule"); n != nil {
			e.Rule, _ = rd.someText(n, f.sub("rule"))
		}
		if n := f.get("conflict"); n != nil {
			e.Conflict = event.Conflict(rd.oneOf(n, f.sub("conflict"), "conflict policy", conflicts))
		}
		c.Expect = append(c.Expect, e)
	}
}

// size reads a number of bytes, or text such as 2.5 MB.
func (d *document) size(n *yaml.Node, path string) (int64, bool) {
	text, unit := strings.ToUpper(strings.TrimSpace(n.Value)), 1.0
	for i, name := range []string{"KB", "MB", "GB"} {
		if number, ok := strings.CutSuffix(text, name); ok {
			text, unit = strings.TrimSpace(number), float64(int64(1)<<(10*(i+1)))
		}
	}
	const most = 1 << 50
	v, err := strconv.ParseFloat(text, 64)
	size := v * unit
	if n.Kind != yaml.ScalarNode || err != nil || strings.ContainsAny(text, "XNI_+-") || size > most || size != float64(int64(size)) {
		d.add(n, path, "write a number of bytes, or text such as 2 MB", "this is not a size")
		return 0, false
	}
	return int64(size), true
}

// when reads a time, or a day.
func (d *document) when(n *yaml.Node, path string) time.Time {
	if n.Kind == yaml.ScalarNode {
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, n.Value); err == nil {
				return t.UTC()
			}
		}
	}
	d.add(n, path, "write it as in 2026-03-02T09:14:07Z or 2026-03-02", "this is not a time")
	return time.Time{}
}

// String names a room or folder for people.
func (p *Place) String() string {
	word := "folder"
	if p.In == nil {
		word = "room"
	}
	return fmt.Sprintf("%s %s %q", word, p.ID, p.Title)
}

// Chain lists the place and what it lies in, up to its room.
func (p *Place) Chain() []*Place {
	var chain []*Place
	for ; p != nil; p = p.In {
		chain = append(chain, p)
	}
	return slices.Clip(chain)
}
