package docspace

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// maxRooms bounds a list of rooms, against a portal that never stops answering.
const maxRooms = 100_000

// Rooms returns the active rooms that the account may see, with their tags, by title. It needs
// the scope rooms:read.
func (c *Client) Rooms(ctx context.Context) ([]Folder, error) {
	query := url.Values{"sortBy": {ByTitle}, "sortOrder": {"ascending"}, "count": {strconv.Itoa(maxCount)}}
	var rooms []Folder
	known := map[string]bool{}
	for start := 0; start < maxRooms; start += maxCount {
		query.Set("startIndex", strconv.Itoa(start))
		page, err := send(ctx, c, request{call: "rooms", method: http.MethodGet, path: "files/rooms", query: query}, decodeContents)
		if err != nil {
			return nil, err
		}
		for _, room := range page.Folders {
			// A room made meanwhile pushes others to the next page.
			if !known[string(room.ID)] {
				known[string(room.ID)] = true
				rooms = append(rooms, room)
			}
		}
		if len(page.Folders) == 0 || start+maxCount >= page.Total {
			break
		}
	}
	return rooms, nil
}

// Reach asks for the portal's settings, which everybody may read, also while the portal is not
// paid for or suspended. It tells an unreachable portal from a key that is refused.
func (c *Client) Reach(ctx context.Context) error {
	_, err := send(ctx, c, request{call: "settings", method: http.MethodGet, path: "settings"}, func(e envelope) (struct{}, error) {
		_, err := e.object()
		return struct{}{}, err
	})
	return err
}
