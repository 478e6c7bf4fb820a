package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"docspace-router/internal/event"
)

// env is what an expression sees. One type serves rules for files and rules for folders; the
// name check keeps each from using the other's variable. Ids are text, because ids of
// connected storage are.
type env struct {
	Trigger string         `expr:"trigger"`
	Portal  string         `expr:"portal"`
	Now     time.Time      `expr:"now"`
	Event   eventVars      `expr:"event"`
	File    fileVars       `expr:"file"`
	Folder  folderVars     `expr:"folder"`
	Room    roomVars       `expr:"room"`
	Payload map[string]any `expr:"payload"`
	Webhook map[string]any `expr:"webhook"`
	KB      int            `expr:"KB"`
	MB      int            `expr:"MB"`
	GB      int            `expr:"GB"`

	// Step is called by every turn of a loop in an expression; see limitLoops.
	Step func() bool `expr:"__step"`
}

type eventVars struct {
	ID        string    `expr:"id"`
	CreatedOn time.Time `expr:"created_on"`
	CreatedBy string    `expr:"created_by"`
}

type userVars struct {
	ID          string `expr:"id"`
	Email       string `expr:"email"`
	DisplayName string `expr:"display_name"`
}

type fileVars struct {
	ID         string    `expr:"id"`
	Title      string    `expr:"title"`
	Name       string    `expr:"name"`
	Extension  string    `expr:"extension"`
	Size       int       `expr:"size"`
	Version    int       `expr:"version"`
	Comment    string    `expr:"comment"`
	IsForm     bool      `expr:"is_form"`
	FolderID   string    `expr:"folder_id"`
	FolderPath string    `expr:"folder_path"`
	CreatedOn  time.Time `expr:"created_on"`
	ModifiedOn time.Time `expr:"modified_on"`
	CreatedBy  userVars  `expr:"created_by"`
}

type folderVars struct {
	ID         string    `expr:"id"`
	Title      string    `expr:"title"`
	ParentID   string    `expr:"parent_id"`
	ParentPath string    `expr:"parent_path"`
	CreatedOn  time.Time `expr:"created_on"`
	ModifiedOn time.Time `expr:"modified_on"`
	CreatedBy  userVars  `expr:"created_by"`
}

type roomVars struct {
	ID    string   `expr:"id"`
	Title string   `expr:"title"`
	Type  string   `expr:"type"`
	Tags  []string `expr:"tags"`
}

// fact is a set of things about an event that a delivery may lack, or that cost work to
// provide, and that an expression may refer to.
type fact uint16

const (
	factTitle fact = 1 << iota
	factDetails
	factParent
	factTimes
	factAuthor
	factAuthorName
	factAuthorEmail
	factRoom
	factTags
	factPayload
	factWebhook
)

const (
	allAuthor = factAuthor | factAuthorName | factAuthorEmail
	allEntry  = factTitle | factParent | factTimes | allAuthor | factRoom
	allFile   = allEntry | factDetails
)

// leaves lists every name an expression may end in, with the facts it rests on.
var leaves = map[string]fact{
	"trigger":          0,
	"portal":           0,
	"now":              0,
	"KB":               0,
	"MB":               0,
	"GB":               0,
	"payload":          factPayload,
	"webhook":          factWebhook,
	"event.id":         0,
	"event.created_on": 0,
	"event.created_by": 0,

	"file.id":                      0,
	"file.title":                   factTitle,
	"file.name":                    factTitle,
	"file.extension":               factTitle,
	"file.size":                    factDetails,
	"file.version":                 factDetails,
	"file.comment":                 factDetails,
	"file.is_form":                 factDetails,
	"file.folder_id":               factParent,
	"file.folder_path":             factRoom,
	"file.created_on":              factTimes,
	"file.modified_on":             factTimes,
	"file.created_by.id":           factAuthor,
	"file.created_by.email":        factAuthorEmail,
	"file.created_by.display_name": factAuthorName,

	"folder.id":                      0,
	"folder.title":                   factTitle,
	"folder.parent_id":               factParent,
	"folder.parent_path":             factRoom,
	"folder.created_on":              factTimes,
	"folder.modified_on":             factTimes,
	"folder.created_by.id":           factAuthor,
	"folder.created_by.email":        factAuthorEmail,
	"folder.created_by.display_name": factAuthorName,

	"room.id":    factRoom,
	"room.title": factRoom,
	"room.type":  factRoom,
	"room.tags":  factTags,
}

// branches lists the names that hold others, with everything those rest on: an expression
// that uses one as a whole, as in toJSON(file), needs it all.
var branches = map[string]fact{
	"event":             0,
	"file":              allFile,
	"file.created_by":   allAuthor,
	"folder":            allEntry,
	"folder.created_by": allAuthor,
	"room":              factRoom | factTags,
}

// missing returns the facts that f lacks.
func missing(f *Facts) fact {
	var m fact
	if !f.ChainKnown {
		m |= factRoom | factTags
		if f.parent() == "" {
			m |= factParent
		}
	} else if f.Room != nil && !f.RoomTagsKnown {
		m |= factTags
	}
	e := &f.Event.Entry
	if e.CreatedBy.Email == "" && !f.AuthorKnown {
		m |= factAuthorEmail
	}
	if e.CreatedBy.DisplayName == "" && !f.AuthorKnown {
		m |= factAuthorName
	}
	if e.Detailed {
		return m
	}
	m |= factDetails
	if e.Title == "" {
		m |= factTitle
	}
	if e.CreatedOn.IsZero() || e.ModifiedOn.IsZero() {
		m |= factTimes
	}
	if e.CreatedBy.ID == "" {
		m |= factAuthor
	}
	return m
}

// needFor says what must be looked up to learn the missing facts.
func needFor(f *Facts, m fact) Need {
	var n Need
	e := &f.Event.Entry
	switch {
	case m&(factDetails|factTitle|factTimes|factAuthor) != 0:
		n |= NeedEntry
	case m&(factAuthorName|factAuthorEmail) == 0:
	case !e.Detailed && (e.CreatedBy.ID == "" || m&factAuthorName != 0):
		n |= NeedEntry // which tells who the author is, and their name
	default:
		n |= NeedAuthor
	}
	if m&(factRoom|factParent) != 0 || m&factTags != 0 && !f.ChainKnown {
		n |= NeedChain
	} else if m&factTags != 0 {
		n |= NeedRoomTags
	}
	return n
}

// newEnv gathers the variables for the facts an expression of the event may refer to.
func newEnv(f *Facts) *env {
	e := &f.Event.Entry
	author := userVars{ID: e.CreatedBy.ID, Email: e.CreatedBy.Email, DisplayName: e.CreatedBy.DisplayName}
	v := &env{
		Trigger: f.Event.Trigger,
		Portal:  f.Portal,
		Now:     f.Now,
		Event:   eventVars{ID: f.Event.ID, CreatedOn: f.Event.CreatedOn, CreatedBy: f.Event.CreatedBy},
		KB:      1 << 10,
		MB:      1 << 20,
		GB:      1 << 30,
	}
	if event.KindOf(f.Event.Trigger) == event.Folder {
		v.Folder = folderVars{
			ID: string(e.ID), Title: e.Title, ParentID: string(f.parent()), ParentPath: f.pathInRoom(),
			CreatedOn: e.CreatedOn, ModifiedOn: e.ModifiedOn, CreatedBy: author,
		}
	} else {
		v.File = fileVars{
			ID: string(e.ID), Title: e.Title, Name: e.Name(), Extension: e.Extension(),
			Size: int(e.Size), Version: e.Version, Comment: e.Comment, IsForm: e.IsForm,
			FolderID: string(f.parent()), FolderPath: f.pathInRoom(), CreatedOn: e.CreatedOn, ModifiedOn: e.ModifiedOn, CreatedBy: author,
		}
	}
	if f.Room != nil {
		v.Room = roomVars{ID: string(f.Room.ID), Title: f.Room.Title, Type: f.Room.Type, Tags: f.Room.Tags}
	}
	return v
}

// decodeObject reads a JSON object for use in an expression. Whole numbers become ints, as
// the ids of DocSpace do not survive a float.
func decodeObject(raw json.RawMessage) (map[string]any, error) {
	if len(raw) == 0 {
		return map[string]any{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	m, ok := plainNumbers(v).(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	return m, nil
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.Atoi(v.String()); err == nil {
			return n
		}
		x, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return x
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	}
	return v
}
