package portalsim

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Access is a member's role in a room, as DocSpace numbers it.
type Access int

// Roles in a room.
const (
	NoAccess       Access = 0
	ReadWrite      Access = 1
	Read           Access = 2
	Restrict       Access = 3
	Review         Access = 5
	Comment        Access = 6
	FillForms      Access = 7
	CustomFilter   Access = 8
	RoomManager    Access = 9
	Editing        Access = 10
	ContentCreator Access = 11
)

// roomOwner is the access of a room's owner, which is not a share and has no number.
const roomOwner Access = -1

// User is a person with an account.
type User struct {
	ID                   UserID // generated when empty
	DisplayName          string // default: the user name
	UserName             string // default: made from DisplayName or Email
	Email                string
	Admin, Owner         bool // of the portal
	RoomAdmin            bool // may create rooms
	Guest                bool
	Quota                int64 // of My documents in bytes; zero for none
	FirstName, LastName  string
	created, lastChanged time.Time
}

type apiKey struct {
	id, key, name    string
	owner            UserID
	scopes           []string
	revoked          bool
	created, expires time.Time
	lastUsed         time.Time
}

// AddUser adds a person, together with their "My documents" and "Trash" sections.
func (p *Portal) AddUser(u User) UserID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addUser(u).ID
}

func (p *Portal) addUser(u User) *User {
	if u.ID == "" {
		u.ID = UserID(p.newGUID())
	}
	if u.UserName == "" {
		name, _, _ := strings.Cut(u.Email, "@")
		if u.DisplayName != "" {
			name = strings.ReplaceAll(strings.ToLower(u.DisplayName), " ", ".")
		}
		u.UserName = name
	}
	if u.DisplayName == "" {
		u.DisplayName = u.UserName
	}
	if u.FirstName == "" && u.LastName == "" {
		u.FirstName, u.LastName, _ = strings.Cut(u.DisplayName, " ")
	}
	u.created, u.lastChanged = p.now(), p.now()
	p.people[u.ID] = &u
	p.myDocuments[u.ID] = p.addSection("My documents", typeDocuments, u.ID)
	p.trash[u.ID] = p.addSection("Trash", typeTrash, u.ID)
	return &u
}

// AddKey makes an API key that acts as the user, restricted to the scopes given
// ("files:read", "rooms:write", "*:read" ...); without any it may do everything.
// Guests cannot have keys.
func (p *Portal) AddKey(user UserID, scopes ...string) (key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.people[user]
	if u == nil {
		panic(fmt.Sprintf("portalsim: no user %q", user))
	}
	if u.Guest {
		panic("portalsim: guests cannot create API keys")
	}
	var secret [32]byte
	_, _ = p.rng.Read(secret[:])
	key = "sk-" + hex.EncodeToString(secret[:])
	p.keys[key] = &apiKey{id: p.newGUID(), key: key, name: "key", owner: user, scopes: scopes, created: p.now()}
	return key
}

// RevokeKey makes a key unknown from now on.
func (p *Portal) RevokeKey(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.keys[key]; k != nil {
		k.revoked = true
	}
}

// ExpireKey lets a key end at the given time.
func (p *Portal) ExpireKey(key string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.keys[key]; k != nil {
		k.expires = at
	}
}

// MyDocuments is the id of a user's own section.
func (p *Portal) MyDocuments(user UserID) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.myDocuments[user]
}

// TrashOf is the id of a user's trash.
func (p *Portal) TrashOf(user UserID) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trash[user]
}

// Rooms is the id of the section all rooms lie in, the rootId of everything in them.
func (p *Portal) Rooms() ID { return p.rooms }

// Archive is the id of the section of archived rooms.
func (p *Portal) Archive() ID { return p.archive }

// SetMember gives a user a role in a room; NoAccess takes it away.
func (p *Portal) SetMember(room ID, user UserID, access Access) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.mustRoom(room)
	if access == NoAccess {
		delete(r.room.members, user)
		return
	}
	r.room.members[user] = access
}

func (p *Portal) mustRoom(id ID) *folder {
	d := p.mustFolder(id)
	if d.room == nil {
		panic(fmt.Sprintf("portalsim: folder %q is no room", id))
	}
	return d
}

// valid reports whether the key opens anything at all.
func (k *apiKey) valid() bool {
	return k != nil && !k.revoked && (k.expires.IsZero() || time.Now().Before(k.expires))
}

// allows checks the key's scopes for a call to an area of the API ("files", "rooms",
// "accounts", "accounts.self", or "" for what has no scope of its own).
func (k *apiKey) allows(area string, write bool) bool {
	if len(k.scopes) == 0 || slices.Contains(k.scopes, "*") {
		return true
	}
	return slices.ContainsFunc(k.scopes, func(scope string) bool {
		of, right, _ := strings.Cut(scope, ":")
		if of != "*" && (area == "" || of != area) {
			return false
		}
		return right == "write" || right == "read" && !write
	})
}

func (p *Portal) isAdmin(user UserID) bool {
	u := p.people[user]
	return user == SystemUser || u != nil && (u.Admin || u.Owner)
}

// role of a user in a room.
func (p *Portal) role(user UserID, room *folder) Access {
	if room.createdBy == user {
		return roomOwner
	}
	return room.room.members[user]
}

func (a Access) restricted() bool { return a == NoAccess || a == Restrict }

// canRead: room members read what is in the room, and so do the portal's admins, with or
// without a role. The sections themselves are open to everybody, personal ones to their owner.
func (p *Portal) canRead(user UserID, d *folder) bool {
	pl := p.placeOf(d)
	switch {
	case user == SystemUser:
		return true
	case pl.room != nil:
		return p.isAdmin(user) || !p.role(user, pl.room).restricted()
	case pl.account != nil:
		return d.account.owner == user
	case pl.section.kind == typeDocuments, pl.section.kind == typeTrash:
		return pl.section.createdBy == user
	default:
		return true
	}
}

// canCopyFrom: any role in the room will do, an admin without one will not, and a room
// that denies downloads denies copies as well.
func (p *Portal) canCopyFrom(user UserID, d *folder) bool {
	pl := p.placeOf(d)
	if pl.room != nil {
		return !p.role(user, pl.room).restricted() && !pl.room.room.denyDownload
	}
	return pl.section.kind == typeDocuments && pl.section.createdBy == user
}

// canCreateIn: room managers, content creators and the room's owner; not in the archive,
// nor among the rooms themselves.
func (p *Portal) canCreateIn(user UserID, d *folder) bool {
	pl := p.placeOf(d)
	switch {
	case pl.room != nil:
		role := p.role(user, pl.room)
		return pl.section.kind == typeRooms && (role == roomOwner || role == RoomManager || role == ContentCreator)
	case pl.section.kind == typeDocuments:
		return pl.section.createdBy == user
	default:
		return false
	}
}

// canMoveFrom: room managers and the owner move anything out, content creators only what
// they created themselves.
func (p *Portal) canMoveFrom(user UserID, d *folder, author UserID) bool {
	pl := p.placeOf(d)
	switch {
	case pl.room != nil && pl.section.kind == typeRooms:
		role := p.role(user, pl.room)
		return role == roomOwner || role == RoomManager || role == ContentCreator && author == user
	case pl.section.kind == typeDocuments, pl.section.kind == typeTrash:
		return pl.section.createdBy == user
	default:
		return false
	}
}

// canEdit: who may replace a file's contents.
func (p *Portal) canEdit(user UserID, f *file) bool {
	d := p.folders[f.parent]
	pl := p.placeOf(d)
	if pl.room != nil {
		switch p.role(user, pl.room) {
		case roomOwner, RoomManager, ContentCreator, Editing, ReadWrite:
			return pl.section.kind == typeRooms
		default:
			return false
		}
	}
	return p.canCreateIn(user, d)
}

func (f *file) lockedFor(user UserID) bool { return f.lockedBy != "" && f.lockedBy != user }
