package portalsim

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// ID is the textual form of an entry's id. DocSpace numbers what it stores itself, and
// names what lies in connected third-party storage ("drive-12-|1AbC"): on the wire the
// former are JSON numbers and the latter strings. Files and folders are numbered
// separately, so a file and a folder may well have the same id.
type ID string

// UserID is the GUID of a user.
type UserID string

const (
	// SystemUser is the account DocSpace itself acts as.
	SystemUser UserID = "a37ee56e-3302-4a7b-b67e-ddbea64cd032"
	// AnonymousUser acts for guests without an account, who fill in shared forms.
	AnonymousUser UserID = "712d9ec3-5d2b-4b13-824f-71f00191dcca"
)

// Kind tells files from folders; a room is a folder.
type Kind string

// Kinds of entries.
const (
	KindFile   Kind = "file"
	KindFolder Kind = "folder"
)

// intID is the ID of entry number n.
func intID(n int) ID { return ID(strconv.Itoa(n)) }

// number reports the id as the number it is sent as, if it is one.
func (id ID) number() (int, bool) {
	n, err := strconv.ParseInt(string(id), 10, 32)
	return int(n), err == nil && strconv.FormatInt(n, 10) == string(id)
}

// MarshalJSON writes numbers as numbers and everything else as a string.
func (id ID) MarshalJSON() ([]byte, error) {
	if n, ok := id.number(); ok {
		return strconv.AppendInt(nil, int64(n), 10), nil
	}
	return json.Marshal(string(id))
}

// UnmarshalJSON reads a number or a string.
func (id *ID) UnmarshalJSON(data []byte) error {
	var number json.Number
	if err := json.Unmarshal(data, &number); err == nil && len(data) > 0 && data[0] != '"' {
		*id = ID(number.String())
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("entry id: %w", err)
	}
	*id = ID(text)
	return nil
}

// less orders ids the way people count: numbers by value and before names.
func (id ID) less(other ID) bool {
	a, aNumber := id.number()
	b, bNumber := other.number()
	switch {
	case aNumber && bNumber:
		return a < b
	case aNumber != bNumber:
		return aNumber
	default:
		return id < other
	}
}
