package docspace

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"docspace-router/internal/event"
)

// User is the account the API key belongs to.
type User struct {
	event.User
	IsAdmin, IsOwner, IsRoomAdmin, IsVisitor bool
}

// Key describes the API key in use.
type Key struct {
	Name string

	// Permissions are scopes such as "files:write", "rooms:read" or "*:read". None at all or
	// "*" means unrestricted. "files:write" does not cover rooms.
	Permissions []string
	IsActive    bool
	ExpiresAt   time.Time // zero: never
}

// File is a file as the portal describes it now. Times are in UTC.
type File struct {
	ID       event.ID
	FolderID event.ID // "Shared with me" for files in other people's personal sections
	Title    string   // with extension
	Size     int64    // bytes
	Version  int
	Comment  string
	IsForm   bool

	Created, Updated     time.Time
	CreatedBy, UpdatedBy event.User

	WebURL   string // where a person opens it
	RootType int    // as event.Entry.RootType: 14 rooms, 5 "My documents", 3 trash, 20 archive
}

// Folder is a folder or room as the portal describes it now. Times are in UTC.
type Folder struct {
	ID       event.ID
	ParentID event.ID
	Title    string

	// RoomType is 0 for a folder that is no room; else 1 form filling, 2 editing, 5 custom,
	// 6 public, 8 data room, 9 AI.
	RoomType int
	Tags     []string // of rooms, as Client.Room answers them

	Created, Updated time.Time
	CreatedBy        event.User
	RootType         int // as File.RootType

	// Security says what the key's account may do, by DocSpace's names: "Create", "CopyTo",
	// "MoveTo" and others. Nil where the call does not tell.
	Security map[string]bool
}

// IsRoom reports whether the folder is a room.
func (f Folder) IsRoom() bool { return f.RoomType != 0 }

// The orders of Contents that DocSpace knows and the gateway uses.
const (
	ByTitle   = "AZ"
	ByCreated = "DateAndTimeCreation"
	ByUpdated = "DateAndTime"
)

// ContentsQuery selects a page of a folder's own entries, never those of its subfolders.
type ContentsQuery struct {
	// Filter keeps the entries whose title contains it, ignoring case. Where the portal's
	// full-text search is on, it also finds files by content, and a file made a moment ago
	// may be missing until it is indexed: a filtered page never proves an absence.
	Filter string

	// SortBy is ByTitle (default), ByCreated, ByUpdated or another of DocSpace's orders. It
	// is always sent, because DocSpace otherwise takes the order last used by the account,
	// which another call may change between two pages.
	SortBy     string
	Descending bool

	Start int // entries to skip
	Count int // at most this many entries; 1 to 100, everything else is 100
}

const maxCount = 100

// Contents is a page of a folder. Folders come before files over all pages.
type Contents struct {
	Files   []File
	Folders []Folder
	Current Folder // the folder itself
	Total   int    // entries over all pages
}

// Batch is one copy or move of entries of one kind to one folder.
type Batch struct {
	Action event.Action
	// Kind is that of all IDs. A mixed call would lose the folders from its result.
	Kind        event.Kind
	IDs         []event.ID
	Destination event.ID
	// Conflict is required: DocSpace's own default, skip, drops entries without a word.
	Conflict event.Conflict
	// Before is when the call must have left, by our clock: waiting for its turn may take long, and
	// meanwhile somebody else may have concluded that it never did. Zero: any time will do.
	Before time.Time
}

// Operation is a copy or move at work on the portal.
//
// Its description proves little. Error is one text for the whole batch, and later items may
// erase it; a crash leaves none. Processed counts nested entries too. Files and Folders are
// the resulting entries once the operation has ended, and may be sources before. A skipped
// conflict leaves no trace. What counts is what is in the destination.
type Operation struct {
	ID        string
	Type      int    // 0 move, 1 copy
	Progress  int    // percent
	Error     string // in the language of the key's owner; may be empty after a failure
	Processed int
	Finished  bool
	Status    int // 0 created, 1 running, 2 completed, 3 cancelled, 4 failed; 0 on old servers
	Files     []File
	Folders   []Folder
}

// Ended reports whether nothing more will happen. An operation that found nothing to do ends
// without ever being Finished. The answer that shows the end is the only one: DocSpace forgets
// the operation with it.
func (o Operation) Ended() bool { return o.Finished || o.Status >= 2 }

// operationTypes are DocSpace's numbers of the two operations this client starts.
var operationTypes = map[event.Action]int{event.Move: 0, event.Copy: 1}

// conflictNames are DocSpace's names of the conflict policies.
var conflictNames = map[event.Conflict]string{
	event.Skip:      "Skip",
	event.Overwrite: "Overwrite",
	event.Duplicate: "Duplicate",
}

// Self returns the key's account. It needs the scope accounts.self:read.
func (c *Client) Self(ctx context.Context) (User, error) {
	return send(ctx, c, request{call: "self", method: http.MethodGet, path: "people/@self"}, decodeUser)
}

// Person returns a user of the portal, whose e-mail address no answer about a file holds. It
// needs the scope accounts:read.
func (c *Client) Person(ctx context.Context, id string) (User, error) {
	return lookUp(ctx, c, "person", event.ID(id), "people/%s", decodeUser)
}

// Key returns the key in use. Every scope allows it, which makes it the check of credentials.
func (c *Client) Key(ctx context.Context) (Key, error) {
	return send(ctx, c, request{call: "key", method: http.MethodGet, path: "keys/@self"}, decodeKey)
}

// FolderPath returns the folders from the section's root down to the folder itself, without
// those the account may not read. The room is the one with a RoomType.
func (c *Client) FolderPath(ctx context.Context, id event.ID) ([]Folder, error) {
	return lookUp(ctx, c, "folder_path", id, "files/folder/%s/path", decodeFolders)
}

// Folder returns a folder.
func (c *Client) Folder(ctx context.Context, id event.ID) (Folder, error) {
	return lookUp(ctx, c, "folder", id, "files/folder/%s", decodeFolder)
}

// Subfolders returns the folders directly in a folder or room that the account may read.
func (c *Client) Subfolders(ctx context.Context, id event.ID) ([]Folder, error) {
	return lookUp(ctx, c, "subfolders", id, "files/%s/subfolders", decodeFolders)
}

// File returns a file.
func (c *Client) File(ctx context.Context, id event.ID) (File, error) {
	return lookUp(ctx, c, "file", id, "files/file/%s", decodeFile)
}

// Room returns a room with its tags. It needs the scope rooms:read.
func (c *Client) Room(ctx context.Context, id event.ID) (Folder, error) {
	return lookUp(ctx, c, "room", id, "files/rooms/%s", decodeFolder)
}

func lookUp[T any](ctx context.Context, c *Client, call string, id event.ID, path string, decode func(envelope) (T, error)) (T, error) {
	part, err := segment(call, id)
	if err != nil {
		var zero T
		return zero, err
	}
	return send(ctx, c, request{call: call, method: http.MethodGet, path: fmt.Sprintf(path, part)}, decode)
}

// Contents returns a page of a folder's own entries.
func (c *Client) Contents(ctx context.Context, folder event.ID, q ContentsQuery) (Contents, error) {
	const call = "contents"
	part, err := segment(call, folder)
	if err != nil {
		return Contents{}, err
	}
	if q.SortBy == "" {
		q.SortBy = ByTitle
	}
	if q.Count < 1 || q.Count > maxCount {
		q.Count = maxCount
	}
	order := "ascending"
	if q.Descending {
		order = "descending"
	}
	query := url.Values{
		"withSubFolders": {"false"}, // DocSpace's default is true
		"count":          {strconv.Itoa(q.Count)},
		"startIndex":     {strconv.Itoa(max(q.Start, 0))},
		"sortBy":         {q.SortBy},
		"sortOrder":      {order},
	}
	if q.Filter != "" {
		query.Set("filterValue", q.Filter)
	}
	return send(ctx, c, request{call: call, method: http.MethodGet, path: "files/" + part, query: query}, decodeContents)
}

// CreateFolder creates a folder. DocSpace gladly creates a second one of the same title, and
// changes titles (spaces around them, the characters * + : " < > ? | \ / and emoji): look
// first, one at a time per parent, and go by the title of the folder returned. A missing
// parent gives 403, not 404.
func (c *Client) CreateFolder(ctx context.Context, parent event.ID, title string) (Folder, error) {
	const call = "create_folder"
	part, err := segment(call, parent)
	if err != nil {
		return Folder{}, err
	}
	if strings.TrimSpace(title) == "" {
		return Folder{}, invalid(call, "empty title")
	}
	body := map[string]string{"title": title}
	return send(ctx, c, request{call: call, method: http.MethodPost, path: "files/folder/" + part, body: body}, decodeFolder)
}

// fileops is the body of a copy or move.
type fileops struct {
	FileIDs     []event.ID `json:"fileIds,omitempty"`
	FolderIDs   []event.ID `json:"folderIds,omitempty"`
	Destination event.ID   `json:"destFolderId"`
	Conflict    string     `json:"conflictResolveType"`

	// DeleteAfter must be false. It deletes no sources, as its name and the vendor's
	// documentation have it, but the operation's result.
	DeleteAfter bool `json:"deleteAfter"`

	// Single must be true. Without it the answer lists, and thereby uses up, the results of
	// all of the account's operations.
	Single bool `json:"returnSingleOperation"`
}

// Start starts a copy or move and returns the operation, which may have ended already; then it
// cannot be asked for again.
//
// DocSpace checks every id before it starts anything, so one bad id refuses the whole batch:
// 404, 403 (also for the first or only file when it does not exist) or 500 (for the first
// folder when it does not exist). When Uncertain(err), the operation may be at work: look in
// the destination before starting it again.
func (c *Client) Start(ctx context.Context, b Batch) (Operation, error) {
	call := string(b.Action)
	if _, ok := operationTypes[b.Action]; !ok {
		return Operation{}, invalid("start", "unknown action %q", b.Action)
	}
	body := fileops{Destination: b.Destination, Conflict: conflictNames[b.Conflict], Single: true}
	switch b.Kind {
	case event.File:
		body.FileIDs = b.IDs
	case event.Folder:
		body.FolderIDs = b.IDs
	default:
		return Operation{}, invalid(call, "unknown kind %q", b.Kind)
	}
	switch {
	case body.Conflict == "":
		return Operation{}, invalid(call, "unknown conflict policy %q", b.Conflict)
	case b.Destination == "":
		return Operation{}, invalid(call, "no destination")
	case len(b.IDs) == 0:
		// DocSpace would start nothing and answer 200 with other operations.
		return Operation{}, invalid(call, "empty batch")
	}
	for i, id := range b.IDs {
		if id == "" {
			return Operation{}, invalid(call, "id %d is empty", i)
		}
	}
	return send(ctx, c, request{call: call, method: http.MethodPut, path: "files/fileops/" + call, body: body, before: b.Before}, decodeStarted(b.Action))
}

// Operation returns an operation's state, or ErrUnknownOperation. The first answer in which
// it has ended is the last one there is: if that answer gets lost on the way, the next call
// gives ErrUnknownOperation. Ask every second or two; what an ended operation did is forgotten
// after about 60 s.
func (c *Client) Operation(ctx context.Context, id string) (Operation, error) {
	const call = callOperation
	if id == "" {
		// Without an id DocSpace answers with all operations of the account and forgets
		// those that have ended.
		return Operation{}, invalid(call, "empty id")
	}
	list, err := send(ctx, c, request{
		call: call, method: http.MethodGet, path: "files/fileops", query: url.Values{"id": {id}},
	}, decodeOperations)
	if err != nil {
		return Operation{}, err
	}
	for _, o := range list {
		if strings.EqualFold(o.ID, id) {
			return o, nil
		}
	}
	return Operation{}, fmt.Errorf("%s: %w", call, ErrUnknownOperation)
}

// segment makes an id part of a path. Ids of third-party storage hold characters such as "|"
// that must be escaped; an empty or dotted one would ask for something else entirely.
func segment(call string, id event.ID) (string, error) {
	if id == "" || id == "." || id == ".." {
		return "", invalid(call, "id %q", id)
	}
	return url.PathEscape(string(id)), nil
}
