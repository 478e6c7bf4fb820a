package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"docspace-router/internal/event"
)

// Spec is one rule as written, its shape checked, nothing compiled.
type Spec struct {
	Name        string
	Description string
	Origin      string // where it is written, as in "rules.yaml:12:5"; shown to people only
	Disabled    bool
	Portals     []string // at least one
	Triggers    []string // concrete, expanded and routable
	Routes      []Route  // one per source, or one per pair
	When        string   // an expression; "" holds always
	Path        string   // an expression for the folders below every destination; "" is none
	Action      event.Action
	Conflict    event.Conflict
	Stop        bool // when it matches, later rules are not tried
	Fallback    bool // tried only when no other rule of its portal matched
	OwnEvents   bool // also events that the gateway's own work caused
}

// SourceKind says which word of the rules file named a source. Between the kinds that have an
// id it changes only what people are told: rooms and folders share one space of ids, and a
// room is a folder.
type SourceKind string

// The kinds of source; AnySource is the source of a pair, which may be a room or a folder.
const (
	RoomSource   SourceKind = "room"
	FolderSource SourceKind = "folder"
	AnySource    SourceKind = ""
	TagSource    SourceKind = "room_tag"
	TitleSource  SourceKind = "room_title"
)

// Route is one way of a rule: from a room or folder, or from all rooms that fit, to a folder.
type Route struct {
	Source      event.ID // empty for TagSource and TitleSource
	Pattern     string   // the tag or the glob of titles, for those two
	SourceKind  SourceKind
	Subfolders  bool // also entries in folders below the source
	Destination event.ID
}

// byRoom reports whether the source is every room that fits, rather than one id.
func (r *Route) byRoom() bool { return r.SourceKind == TagSource || r.SourceKind == TitleSource }

// SpecError is one mistake in a Spec, or what is suspicious about one. Line and Column count
// from 1 within the text of an expression; they are 0 where the field as a whole is meant.
type SpecError struct {
	Rule         int // index into the specs given to Compile
	Name         string
	Field        string // "when", "path", "source", "destination" …; "" is the whole rule
	Route        int    // of a source or destination: which of the rule's routes
	Line, Column int
	With         []int // other rules that are as much to blame
	Message      string
	Hint         string // what to write instead; may be empty
}

func (e SpecError) Error() string {
	s := "rule " + e.Name + ": "
	if e.Field != "" {
		s += e.Field
		if e.Line > 0 {
			s += fmt.Sprintf(":%d:%d", e.Line, e.Column)
		}
		s += ": "
	}
	s += e.Message
	if e.Hint != "" {
		s += ", " + e.Hint
	}
	return s
}

// Folder is one step on the way from an entry up to its room.
type Folder struct {
	ID    event.ID
	Title string
}

// Room is the room an entry lies in.
type Room struct {
	ID    event.ID
	Title string
	Type  string // "filling_forms", "editing", "custom", "public", "data" or "ai"
	Tags  []string
}

// Facts is what is known about an event. A Table never changes them.
type Facts struct {
	Portal string

	// Event.Entry.Detailed also tells whether the entry has been looked up: what is empty in
	// a detailed entry is taken to be empty, not unknown. Set it after a look-up, for folders
	// too.
	Event event.Event

	// Chain leads from the folder the entry lies in up to and including its room. ChainKnown
	// with an empty chain means that the entry's place cannot be told, so that no rule fits.
	Chain      []Folder
	ChainKnown bool

	// Room is nil when the chain is not known or the entry lies in no room.
	Room          *Room
	RoomTagsKnown bool // whether Room.Tags has been looked up

	// AuthorKnown tells whether the entry's author has been looked up: deliveries of 3.x and
	// the portal's answers about files say who it is, and leave the e-mail address out.
	AuthorKnown bool

	// Own says that the gateway's own work caused the event. It matters only for triggers that
	// such work can fire.
	Own      bool
	OwnKnown bool

	Now time.Time // what expressions see as now
}

// parent is the folder the entry lies in, or "".
func (f *Facts) parent() event.ID {
	if len(f.Chain) > 0 {
		return f.Chain[0].ID
	}
	return f.Event.Entry.ParentID
}

// pathInRoom is the way from the room down to the folder the entry lies in, as in "2026/March".
// It is empty for an entry directly in the room.
func (f *Facts) pathInRoom() string {
	if f.Room == nil {
		return ""
	}
	var titles []string
	for _, folder := range f.Chain {
		if folder.ID == f.Room.ID {
			break
		}
		titles = append(titles, folder.Title)
	}
	slices.Reverse(titles)
	return strings.Join(titles, "/")
}

// Need is a set of things Match must still be told.
type Need uint8

// What can be needed.
const (
	// NeedChain asks for Chain, ChainKnown and Room (its tags may follow later).
	NeedChain Need = 1 << iota
	// NeedEntry asks for the entry's own fields that the delivery lacked: size, version,
	// comment, is_form, who the author is, and for the barest bodies its title and dates.
	NeedEntry
	// NeedRoomTags asks for Room.Tags.
	NeedRoomTags
	// NeedOwn asks for Own.
	NeedOwn
	// NeedAuthor asks for the e-mail address of the entry's author.
	NeedAuthor
)

// Has reports whether the set contains n.
func (s Need) Has(n Need) bool { return s&n != 0 }

// Match is one transfer a rule asks for.
type Match struct {
	Rule        string
	Action      event.Action
	Conflict    event.Conflict
	Source      event.ID // the room or folder that the rule names, or the room whose tag or title fits
	Destination event.ID // as the rule has it: the transfer goes to the folder at Path below it
	Path        []string // titles of folders, the uppermost first; none: Destination itself
}

// Suppressed is a move that a rule asked for and that does not happen, because an entry can
// be moved only once.
type Suppressed struct {
	Match
	Reason string
}

// EvalError is an expression that could not be evaluated. Its rule did not match.
type EvalError struct {
	Rule  string
	Field string // "when" or "destination.path"
	Text  string
}

// Note is something about a match that people should know.
type Note struct{ Rule, Text string }

// Result is what an event leads to.
type Result struct {
	Matches    []Match // in file order; at most one move
	Suppressed []Suppressed
	Errors     []EvalError
	Notes      []Note
	Considered int // rules whose portal, trigger and source fit
}

// Info describes a rule of a Table. Its slices belong to the table: read them only.
type Info struct {
	Spec
	Number int // its place in the file, from 1
}
