package ruletest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"docspace-router/internal/config"
	"docspace-router/internal/event"
)

// eventOf is the event of a test, read from a delivery's body as the webhook endpoint reads it.
func eventOf(t *config.Tests, g *config.Given) (event.Event, error) {
	if g.Body == "" {
		body, err := bodyOf(g)
		if err != nil {
			return event.Event{}, err
		}
		return event.Parse(body)
	}
	path := g.Body
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(t.Name), path)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return event.Event{}, fmt.Errorf("read the body: %w", err)
	}
	ev, err := event.Parse(body)
	if err != nil {
		return event.Event{}, fmt.Errorf("body %s: %w", g.Body, err)
	}
	complete(&ev.Entry, g)
	return ev, nil
}

// complete adds to an entry what a test says of it beside the body.
func complete(e *event.Entry, g *config.Given) {
	if g.Size != nil {
		e.Detailed, e.Size, e.Version, e.Comment, e.IsForm = true, *g.Size, g.Version, g.Comment, g.IsForm
	}
	if g.By != nil {
		e.CreatedBy = person(g.By)
	}
}

// person is the user that a test names.
func person(p *config.Person) event.User {
	u := p.User
	switch {
	case p.Gateway:
		u.ID = gatewayID
	case u.ID == "":
		u.ID = uuid.NewSHA1(uuid.NameSpaceURL, []byte(u.Email+" "+u.DisplayName)).String()
	}
	return u
}

// somebodyID is a user of whom a test says nothing.
const somebodyID = "00000000-0000-4000-8000-000000000001"

// object is a JSON object.
type object map[string]any

// bodyOf writes the body that the portal would send, without what the test leaves out.
func bodyOf(g *config.Given) ([]byte, error) {
	when := g.When.Format(time.RFC3339)
	entry := object{
		"id": g.ID, "parentId": g.In.ID, "title": g.Title, "rootFolderType": 14, "created": when, "updated": when,
		"fileEntryType": 2,
	}
	head := object{"id": 1, "createOn": when, "trigger": g.Trigger}
	if g.Kind == event.Folder {
		entry["fileEntryType"] = 1
	}
	if g.By != nil {
		u := person(g.By)
		entry["createdBy"] = object{"id": u.ID, "displayName": u.DisplayName, "email": u.Email}
		head["createBy"] = u.ID
	}
	if g.Size != nil {
		if g.By == nil {
			entry["createdBy"] = object{"id": somebodyID} // about whom the portal will be asked
		}
		entry["contentLength"], entry["version"], entry["comment"], entry["isForm"] = *g.Size, g.Version, g.Comment, g.IsForm
	}
	payload := entry
	if g.Trigger == event.FormSubmit {
		payload = object{"originalForm": object{"id": 0}, "submittedForm": entry}
	}
	return json.Marshal(object{"event": head, "payload": payload, "webhook": object{"id": 1}})
}
