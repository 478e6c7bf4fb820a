package ruletest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"docspace-router/internal/config"
	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/routing"
	"docspace-router/internal/rules"
)

// gatewayID is the account the gateway has in tests.
const gatewayID = "00000000-0000-4000-8000-000000000000"

// roomsSection is what the rooms of a portal lie in.
var roomsSection = docspace.Folder{ID: "2", Title: "Rooms"}

// portal answers what rules ask of a portal, with what a test says.
type portal struct {
	places map[event.ID]*config.Place
	given  *config.Given
	kind   event.Kind // of the entry
}

var _ routing.Portal = (*portal)(nil)

// notSaid is what a test would have to say for the rules to decide.
type notSaid struct{ text string }

func (e *notSaid) Error() string { return e.text }

func needs(format string, args ...any) error { return &notSaid{fmt.Sprintf(format, args...)} }

func (p *portal) Self(context.Context) (docspace.User, error) {
	return docspace.User{User: event.User{ID: gatewayID}}, nil
}

func (p *portal) Clock(context.Context) (time.Duration, error) { return 0, nil }

func (p *portal) FolderPath(_ context.Context, id event.ID) ([]docspace.Folder, error) {
	at, ok := p.places[id]
	if !ok {
		return nil, needs("the rules ask where folder %s is: describe the room it is in under rooms", id)
	}
	var path []docspace.Folder
	for _, place := range at.Chain() {
		path = append(path, folder(place))
	}
	slices.Reverse(path)
	return append([]docspace.Folder{roomsSection}, path...), nil
}

func (p *portal) Room(_ context.Context, id event.ID) (docspace.Folder, error) {
	at, ok := p.places[id]
	if !ok {
		return docspace.Folder{}, needs("the rules ask about room %s: describe it under rooms", id)
	}
	return folder(at), nil
}

func folder(p *config.Place) docspace.Folder {
	f := docspace.Folder{ID: p.ID, Title: p.Title, Tags: p.Tags}
	if p.In == nil {
		f.RoomType = rules.RoomTypeNumber(p.Type)
	}
	return f
}

// File is asked for what the event lacks, which is what the test leaves out.
func (p *portal) File(context.Context, event.ID) (docspace.File, error) {
	if p.given.By == nil {
		return docspace.File{}, needs("the rules ask about the file: give it a size, and say with by who it is from")
	}
	return docspace.File{}, needs("the rules ask about the file: give it a size")
}

func (p *portal) Folder(context.Context, event.ID) (docspace.Folder, error) {
	return docspace.Folder{}, needs("the rules ask who the folder is from: say it with by")
}

func (p *portal) Person(context.Context, string) (docspace.User, error) {
	return docspace.User{}, needs("the rules ask who the %s is from: say it with by", p.kind)
}

// Subfolders and CreateFolder belong to a transfer's way to its folder, which no test goes.
func (p *portal) Subfolders(context.Context, event.ID) ([]docspace.Folder, error) {
	return nil, errNoPortal
}

func (p *portal) CreateFolder(context.Context, event.ID, string) (docspace.Folder, error) {
	return docspace.Folder{}, errNoPortal
}

var errNoPortal = errors.New("a rule test has no portal")
