package rules

import (
	"fmt"
	"time"

	"docspace-router/internal/event"
)

// Spec is one rule as written, its shape checked, nothing compiled.
type Spec struct {
	Name        string
	Description string
	Origin      string // where it is written, as in "rules.yaml:12:5"; shown to people only
	Disabled    bool
	Portal      string
	Triggers    []string // concrete, expanded and routable
	Routes      []Route  // one per source id, or one per pair
	When        string   // an expression; "" holds always
	Action      event.Action
	Conflict    event.Conflict
	Stop        bool // when it matches, later rules are not tried
	Fallback    bool // tried only when no other rule of its portal matched
}

// SourceKind says which word of the rules file named a source. It changes only what people
// are told: rooms and folders share one space of ids, and a room is a folder.
type SourceKind string

// The kinds of source; AnySource is the source of a pair, which may be either.
const (
	RoomSource   SourceKind = "room"
	FolderSource SourceKind = "folder"
	AnySource    SourceKind = ""
)

// Route is one way of a rule: from a room or folder to a folder.
type Route struct {
	Source      event.ID
	SourceKind  SourceKind
	Subfolders  bool // also entries in folders below the source
	Destination event.ID
}

// SpecError is one mistake in a Spec. Line and Column count from 1 within the field's text.
type SpecError struct {
	Rule         int // index into the specs given to Compile
	Name         string
	Field        string // "when"
	Line, Column int
	Message      string
	Hint         string // what to write instead; may be empty
}

func (e SpecError) Error() string {
	s := fmt.Sprintf("rule %s: %s:%d:%d: %s", e.Name, e.Field, e.Line, e.Column, e.Message)
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

	// AuthorUnknown says that even a detailed entry does not tell who it is by, as where a
	// rule test leaves that out.
	AuthorUnknown bool

	Now time.Time // what expressions see as now
}

// parent is the folder the entry lies in, or "".
func (f *Facts) parent() event.ID {
	if len(f.Chain) > 0 {
		return f.Chain[0].ID
	}
	return f.Event.Entry.ParentID
}

// Need is a set of things Match must still be told.
type Need uint8

// What can be needed.
const (
	// NeedChain asks for Chain, ChainKnown and Room (its tags may follow later).
	NeedChain Need = 1 << iota
	// NeedEntry asks for the entry's own fields that the delivery lacked: size, version,
	// comment, is_form, the author's names, and for the barest bodies its title and dates.
	NeedEntry
	// NeedRoomTags asks for Room.Tags.
	NeedRoomTags
)

// Has reports whether the set contains n.
func (s Need) Has(n Need) bool { return s&n != 0 }

// Match is one transfer a rule asks for.
type Match struct {
	Rule                string
	Action              event.Action
	Conflict            event.Conflict
	Source, Destination event.ID
}

// Suppressed is a move that a rule asked for and that does not happen, because an entry can
// be moved only once.
type Suppressed struct {
	Match
	Reason string
}

// EvalError is a condition that could not be evaluated. Its rule did not match.
type EvalError struct {
	Rule string
	Text string
}

// Result is what an event leads to.
type Result struct {
	Matches    []Match // in file order; at most one move
	Suppressed []Suppressed
	Errors     []EvalError
	Considered int // rules whose portal, trigger and source fit
}

// Info describes a rule of a Table. Its slices belong to the table: read them only.
type Info struct {
	Spec
	Number int // its place in the file, from 1
}
