package portalsim

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// listRooms answers the rooms the caller may see.
func (p *Portal) listRooms(c *call) (any, error) {
	start, count, err := c.paging(maxPage)
	if err != nil {
		return nil, err
	}
	if count < 1 || count > maxPage {
		return nil, invalid("Count", "The field Count must be between 1 and 100.")
	}
	section := p.rooms
	switch strings.ToLower(c.query.Get("searchArea")) {
	case "1", "archive":
		section = p.archive
	case "4", "templates":
		section = "" // there are no templates here
	}
	var tags []string
	if text := c.query.Get("tags"); text != "" {
		// A JSON array in the query, not a repeated parameter.
		if err := json.Unmarshal([]byte(text), &tags); err != nil {
			return nil, badRequest("The value of tags is not a JSON array")
		}
	}
	var rooms []*folder
	for _, d := range p.folders {
		if d.room != nil && p.placeOf(d).section.id == section && p.canRead(c.user, d) && roomMatches(c, d, tags) {
			rooms = append(rooms, d)
		}
	}
	order := readOrder(c, "DateAndTime", true)
	slices.SortFunc(rooms, func(a, b *folder) int { return order.compare(a.sortKey(), b.sortKey()) })
	total := len(rooms)
	c.total = &total
	current := p.folders[section]
	if current == nil {
		current = p.folders[p.rooms]
	}
	return p.contentDTO(c, current, page(rooms, start, count), nil, start, total), nil
}

func roomMatches(c *call, d *folder, tags []string) bool {
	if types := c.query["type"]; len(types) > 0 && !slices.Contains(types, strconv.Itoa(d.room.kind)) {
		return false
	}
	if len(tags) > 0 && !slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(d.room.tags, t) }) {
		return false
	}
	if c.flag("withoutTags", false) && len(d.room.tags) > 0 {
		return false
	}
	if !strings.Contains(strings.ToLower(d.title), strings.ToLower(c.query.Get("filterValue"))) {
		return false
	}
	if owner := c.query.Get("subjectOwnerId"); owner != "" && !strings.EqualFold(owner, string(d.createdBy)) {
		return false
	}
	if member := c.query.Get("subjectId"); member != "" {
		if _, ok := d.room.members[UserID(strings.ToLower(member))]; !ok && !strings.EqualFold(member, string(d.createdBy)) {
			return false
		}
	}
	if provider := c.query.Get("provider"); provider != "" {
		if d.account == nil || !strings.EqualFold(provider, providerKeys[d.account.provider]) {
			return false
		}
	}
	return true
}

func (p *Portal) getRoom(c *call) (any, error) {
	d, err := p.readable(c, c.id())
	if err != nil {
		return nil, err
	}
	if d.room == nil {
		return nil, notFound(textFolderNotFound)
	}
	return p.folderDTO(d, c.user), nil
}

// managed finds a room the caller manages.
func (p *Portal) managed(c *call) (*folder, error) {
	d := p.folders[c.id()]
	if d == nil || d.room == nil {
		return nil, notFound(textFolderNotFound)
	}
	if role := p.role(c.user, d); role != roomOwner && role != RoomManager {
		return nil, accessDenied()
	}
	return d, nil
}

// addRoomTags and removeRoomTags fire no webhook: nobody learns that a room has been
// tagged but by asking.
func (p *Portal) addRoomTags(c *call) (any, error) {
	return p.changeTags(c, func(tags, names []string) []string {
		for _, name := range names {
			if !slices.Contains(tags, name) {
				tags = append(tags, name)
			}
		}
		return tags
	})
}

func (p *Portal) removeRoomTags(c *call) (any, error) {
	return p.changeTags(c, func(tags, names []string) []string {
		return slices.DeleteFunc(tags, func(t string) bool { return slices.Contains(names, t) })
	})
}

func (p *Portal) changeTags(c *call, change func(tags, names []string) []string) (any, error) {
	var in struct{ Names []string }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	d, err := p.managed(c)
	if err != nil {
		return nil, err
	}
	d.room.tags = change(slices.Clone(d.room.tags), in.Names)
	return p.folderDTO(d, c.user), nil
}

// listTags answers the names of the tags rooms have; nothing else has tags.
func (p *Portal) listTags(c *call) (any, error) {
	start, count, err := c.paging(maxPage)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, d := range p.folders {
		if d.room == nil || !p.canRead(c.user, d) {
			continue
		}
		for _, name := range d.room.tags {
			if strings.Contains(strings.ToLower(name), strings.ToLower(c.query.Get("filterValue"))) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return page(slices.Compact(names), start, count), nil
}
