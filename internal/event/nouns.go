package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ID is the id of a DocSpace entry, room or user-visible object, as text.
//
// DocSpace's own storage numbers its entries; connected third-party storage names them
// with strings such as "drive-12-|1AbC". Both occur on one portal. An ID keeps the
// characters it was sent with. In JSON a plain integer is written as a number and
// everything else as a string, which is how DocSpace itself tells the two apart (it turns
// numeric strings into integers).
type ID string

// IsNumber reports whether the id is one of DocSpace's own integer ids.
func (id ID) IsNumber() bool {
	n, err := strconv.ParseInt(string(id), 10, 64)
	return err == nil && strconv.FormatInt(n, 10) == string(id)
}

// MarshalJSON writes a number for integer ids and a string for all others.
func (id ID) MarshalJSON() ([]byte, error) {
	if id.IsNumber() {
		return []byte(id), nil
	}
	return json.Marshal(string(id))
}

// UnmarshalJSON accepts a number or a string and keeps its characters. Anything else
// (null, an object, a boolean) leaves the id empty rather than failing the whole body.
func (id *ID) UnmarshalJSON(b []byte) error {
	*id = ""
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0:
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("id: %w", err)
		}
		*id = ID(cleanText(strings.TrimSpace(s)))
	case b[0] == '-' || b[0] >= '0' && b[0] <= '9':
		*id = ID(b)
	}
	return nil
}

// Kind says whether an entry is a file or a folder. A room is a folder.
type Kind string

// The kinds of entry.
const (
	File   Kind = "file"
	Folder Kind = "folder"
)

// Action is what a rule does with an entry.
type Action string

// The actions of a rule.
const (
	Copy Action = "copy"
	Move Action = "move"
)

// Conflict is what DocSpace does when the destination already holds the title.
type Conflict string

// The conflict policies. Duplicate is the gateway's default, because two clients who both
// upload invoice.pdf must both arrive; DocSpace's own default is Skip.
const (
	Duplicate Conflict = "duplicate"
	Skip      Conflict = "skip"
	Overwrite Conflict = "overwrite"
)

// EventState is where a stored event stands.
type EventState string

// The states of an event: Pending until routing has decided, then one of the others.
const (
	EventPending EventState = "pending"
	EventRouted  EventState = "routed"
	EventIgnored EventState = "ignored"
	EventFailed  EventState = "failed"
)

// State is where a transfer stands. Done, Skipped, Failed and Cancelled are outcomes.
type State string

// The states of a transfer.
const (
	Blocked   State = "blocked" // a move that waits for the copies of the same event
	Queued    State = "queued"
	Sending   State = "sending" // part of an operation that is not settled yet
	Done      State = "done"
	Skipped   State = "skipped" // the title was already there and the rule says skip
	Failed    State = "failed"  // the dead letter: kept, shown, can be retried
	Cancelled State = "cancelled"
)

// Ended reports whether the state is an outcome.
func (s State) Ended() bool {
	return s == Done || s == Skipped || s == Failed || s == Cancelled
}

// States lists every state a transfer can be in, in the order of its life.
func States() []State {
	return []State{Blocked, Queued, Sending, Done, Skipped, Failed, Cancelled}
}

// EventStates lists every state an event can be in, in the order of its life.
func EventStates() []EventState {
	return []EventState{EventPending, EventRouted, EventIgnored, EventFailed}
}

// User is a person as a delivery or the portal describes one. 3.x deliveries carry the ID
// alone.
type User struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
	Email       string `json:"email"`
}

// Entry is the file or folder an event is about.
type Entry struct {
	Kind     Kind
	ID       ID
	ParentID ID // the folder or room it lies in; empty when the body did not say
	Title    string

	// RootType is DocSpace's number of the section the entry lies in: 14 rooms, 5 "My
	// documents", 3 trash, 20 archive. 0 when the body did not say.
	RootType int

	CreatedOn, ModifiedOn time.Time
	CreatedBy, ModifiedBy User

	// Detailed is true when the delivery carried the fields below. 3.x sends none of them,
	// and since default values are left out of the JSON their absence alone proves nothing.
	Detailed bool
	Size     int64 // bytes
	Version  int
	Comment  string
	IsForm   bool
}

// Extension is the lower-case extension of the entry's title without its dot, or "".
func (e Entry) Extension() string {
	if i := strings.LastIndexByte(e.Title, '.'); i >= 0 {
		return strings.ToLower(e.Title[i+1:])
	}
	return ""
}

// Name is the entry's title without its extension.
func (e Entry) Name() string {
	if i := strings.LastIndexByte(e.Title, '.'); i >= 0 {
		return e.Title[:i]
	}
	return e.Title
}

// Event is one webhook delivery, normalised.
type Event struct {
	// ID identifies the delivery together with the portal and WebhookID: DocSpace's
	// event.id, or "sha256:…" over the body where the body has none.
	ID        string
	WebhookID string
	Trigger   string
	CreatedOn time.Time // zero when the body did not say
	CreatedBy string    // GUID of the acting user; empty when the body did not say
	Entry     Entry

	Payload json.RawMessage // the payload object as it came
	Webhook json.RawMessage // the webhook object as it came; may be empty
}

// cleanText removes what a text column of a database cannot hold.
func cleanText(s string) string {
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}
