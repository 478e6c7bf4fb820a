package portalsim

import "slices"

// AddRoom adds a room. Like all Add methods it fires no webhook.
func (p *Portal) AddRoom(r Room) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addRoom(r).id
}

func (p *Portal) addRoom(r Room) *folder {
	if r.Owner == "" {
		r.Owner = SystemUser
	}
	d := p.putFolder(p.folders[p.rooms], cleanTitle(r.Title), r.Owner)
	p.makeRoom(d, r)
	return d
}

func (p *Portal) makeRoom(d *folder, r Room) {
	if r.Type == 0 {
		r.Type = RoomCustom
	}
	d.kind = folderTypeOfRoom[r.Type]
	d.room = &roomInfo{
		kind: r.Type, tags: slices.Clone(r.Tags), members: map[UserID]Access{},
		quota: r.Quota, private: r.Private, denyDownload: r.DenyDownload,
	}
	for user, access := range r.Members {
		d.room.members[user] = access
	}
}

// NumberFolders makes n the number of the next folder or room, for tests of what names its
// folders by number. Numbers that are taken are passed over.
func (p *Portal) NumberFolders(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastFolder = n - 1
}

// AddFolder adds a folder to a room, folder or personal section. Duplicate titles are
// allowed, as on the portal.
func (p *Portal) AddFolder(parent ID, title string, by UserID) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	if by == "" {
		by = SystemUser
	}
	return p.putFolder(p.mustFolder(parent), title, by).id
}

// AddFile adds a file exactly as given: unlike an upload it keeps the title as it is, as
// old or imported files may have titles DocSpace would not store today.
func (p *Portal) AddFile(parent ID, f File) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.By == "" {
		f.By = SystemUser
	}
	created := p.now()
	if !f.Created.IsZero() {
		created = f.Created.UTC()
	}
	return p.putFile(p.mustFolder(parent), &file{
		title: f.Title, size: f.Size, createdBy: f.By, comment: f.Comment,
		isForm: f.IsForm, encrypted: f.Encrypted, created: created,
	}).id
}
