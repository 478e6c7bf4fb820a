package portalsim

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// ThirdParty is a connected account of another storage service.
type ThirdParty struct {
	// Provider is the prefix of the account's ids: "drive", "box", "onedrive", "dropbox",
	// "sbox" (WebDAV) or "spoint". Default "drive".
	Provider string
	Account  int    // number of the account on the portal; default 1
	Owner    UserID // who connected it, and owns everything in it, the room included; default Room.Owner
}

// account is a connected storage account. Everything in it has textual ids.
type account struct {
	provider string
	number   int
	owner    UserID
	root     ID
}

var providerKeys = map[string]string{
	"drive": "GoogleDrive", "box": "Box", "onedrive": "OneDrive",
	"dropbox": "DropboxV2", "sbox": "WebDav", "spoint": "SharePoint",
}

// byPath reports whether the service's ids are made from paths, and so change when an
// entry is renamed or moved.
func (a *account) byPath() bool { return a.provider == "dropbox" || a.provider == "sbox" }

// AddThirdPartyRoom adds a room that lies in connected third-party storage. Its id and the
// ids of everything below are strings such as "drive-12-|1AbC" or, where the service has
// paths instead of ids, "dropbox-4-" and the encoded path. Files and folders are added with
// AddFolder and AddFile as anywhere else; they all belong to the account's owner.
func (p *Portal) AddThirdPartyRoom(r Room, t ThirdParty) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.Provider == "" {
		t.Provider = "drive"
	}
	if t.Account == 0 {
		t.Account = 1
	}
	if t.Owner == "" {
		t.Owner = r.Owner
	}
	if t.Owner == "" {
		t.Owner = SystemUser
	}
	if providerKeys[t.Provider] == "" {
		panic(fmt.Sprintf("portalsim: no storage provider %q", t.Provider))
	}
	root := ID(fmt.Sprintf("%s-%d", t.Provider, t.Account))
	top := p.folders[root]
	if top == nil {
		a := &account{provider: t.Provider, number: t.Account, owner: t.Owner, root: root}
		top = &folder{
			id: root, parent: p.rooms, title: providerKeys[t.Provider], account: a,
			createdBy: t.Owner, modifiedBy: t.Owner, created: p.now(), modified: p.now(),
		}
		p.attachFolder(top)
	}
	d := p.putFolder(top, cleanTitle(r.Title), t.Owner)
	p.makeRoom(d, r)
	return d.id
}

// accountID is the id of a new entry of this title in a third-party folder.
func (p *Portal) accountID(in *folder, title string) ID {
	a := in.account
	if a.byPath() {
		id := ID(string(a.root) + "-" + base64.RawURLEncoding.EncodeToString([]byte(p.accountPath(in)+"/"+title)))
		// Where names are paths there can be no two of one name; the portal then picks a
		// free one, which the caller's title no longer shows.
		for n := 1; p.files[id] != nil || p.folders[id] != nil; n++ {
			id = ID(fmt.Sprintf("%s-%s", a.root, base64.RawURLEncoding.EncodeToString(
				fmt.Appendf(nil, "%s/%s (%d)", p.accountPath(in), title, n))))
		}
		return id
	}
	const letters = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	alphabet := letters
	if a.provider == "box" {
		alphabet = "0123456789" // Box numbers its entries
	}
	var random [14]byte
	_, _ = p.rng.Read(random[:])
	var b strings.Builder
	b.WriteString(string(a.root) + "-|")
	for _, r := range random {
		b.WriteByte(alphabet[int(r)%len(alphabet)])
	}
	return ID(b.String())
}

// accountPath is the path of a folder below its account's root.
func (p *Portal) accountPath(d *folder) string {
	path := ""
	for ; d != nil && d.account != nil && d.id != d.account.root; d = p.folders[d.parent] {
		path = "/" + d.title + path
	}
	return path
}

// reID gives a third-party file the id of its new path after a rename or a move, where the
// service's ids are paths.
func (p *Portal) reID(f *file) {
	if f.account == nil || !f.account.byPath() {
		return
	}
	in := p.folders[f.parent]
	p.detachFile(f)
	f.id = p.accountID(in, f.title)
	p.attachFile(f)
}
