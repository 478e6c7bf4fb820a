package portalsim

import (
	"fmt"
	"slices"
	"strings"
)

// Upload is a chunked upload, which is how browsers upload: it fires file.uploaded and
// nothing else. A file of the same title and category becomes a new version of itself,
// keeping its id; the event does not tell.
func (p *Portal) Upload(parent ID, title string, size int64, by UserID) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.store(p.mustFolder(parent), title, size, by, false)
	p.publishFile("file.uploaded", by, f)
	return f.id
}

// UploadForm uploads a PDF form, as Upload does a plain file.
func (p *Portal) UploadForm(parent ID, title string, size int64, by UserID) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.store(p.mustFolder(parent), title, size, by, true)
	p.publishFile("file.uploaded", by, f)
	return f.id
}

// UploadOneShot is an upload through the API in one request. It fires two events, with two
// ids, for the one file: file.created and file.uploaded.
func (p *Portal) UploadOneShot(parent ID, title string, size int64, by UserID) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.uploadOneShot(p.mustFolder(parent), title, size, by).id
}

func (p *Portal) uploadOneShot(in *folder, title string, size int64, by UserID) *file {
	f := p.store(in, title, size, by, false)
	p.publishFile("file.created", by, f)
	p.publishFile("file.uploaded", by, f)
	return f
}

// CreateFile is a new document made in the editor's menu: file.created. It never replaces
// a file; a title that is taken gets " (1)".
func (p *Portal) CreateFile(parent ID, title string, by UserID) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.createFile(p.mustFolder(parent), title, by).id
}

func (p *Portal) createFile(in *folder, title string, by UserID) *file {
	title = freeTitle(savedTitle(title), KindFile, func(t string) bool { return p.clash(in.id, t, false) != nil })
	f := p.putFile(in, &file{title: title, size: 7726, createdBy: by, comment: "Created"})
	p.publishFile("file.created", by, f)
	return f
}

// store saves an uploaded file, as a new one or as a new version of its namesake.
func (p *Portal) store(in *folder, title string, size int64, by UserID, isForm bool) *file {
	title = savedTitle(title)
	if old := p.clash(in.id, title, isForm); old != nil {
		p.newVersion(old, size, by)
		return old
	}
	return p.putFile(in, &file{title: title, size: size, createdBy: by, isForm: isForm})
}

// newVersion replaces a file's contents. Third-party storage keeps no history.
func (p *Portal) newVersion(f *file, size int64, by UserID) {
	f.size, f.modified = size, p.now()
	if f.account == nil {
		f.version++
		f.modifiedBy = by
	}
}

// UpdateFile is a save in the editor: file.updated.
func (p *Portal) UpdateFile(id ID, size int64, by UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.mustFile(id)
	p.newVersion(f, size, by)
	p.publishFile("file.updated", by, f)
}

// CommentFile changes the comment of a file's present version: file.updated.
func (p *Portal) CommentFile(id ID, comment string, by UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.mustFile(id)
	f.comment = comment
	p.publishFile("file.updated", by, f)
}

// Lock locks a file for everybody else, as the user; an empty user unlocks it. Both fire
// file.updated.
func (p *Portal) Lock(id ID, by UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.mustFile(id)
	actor := by
	if by == "" {
		actor = f.lockedBy
	}
	f.lockedBy = by
	p.publishFile("file.updated", actor, f)
}

// SetEditing says whether a file is open in an editor. It fires nothing.
func (p *Portal) SetEditing(id ID, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mustFile(id).editing = open
}

// Rename gives an entry another title: file.updated, folder.updated or room.updated. It
// answers the entry's id, which changes where third-party ids are paths.
func (p *Portal) Rename(kind Kind, id ID, title string, by UserID) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	if kind == KindFile {
		f := p.mustFile(id)
		p.detachFile(f)
		f.title, f.modified, f.modifiedBy = savedTitle(title), p.now(), by
		p.attachFile(f)
		p.reID(f)
		p.publishFile("file.updated", by, f)
		return f.id
	}
	d := p.mustFolder(id)
	d.title, d.modified, d.modifiedBy = cleanTitle(title), p.now(), by
	p.publishFolder(d.prefix()+".updated", by, d)
	return d.id
}

// prefix of the folder's triggers.
func (d *folder) prefix() string {
	if d.room != nil {
		return "room"
	}
	return "folder"
}

// Trash moves an entry into the user's trash: file.trashed or folder.trashed, showing the
// entry where it was.
func (p *Portal) Trash(kind Kind, id ID, by UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bin := p.trash[by]
	if bin == "" {
		panic(fmt.Sprintf("portalsim: user %q has no trash", by))
	}
	if kind == KindFile {
		f := p.mustFile(id)
		p.publishFile("file.trashed", by, f)
		p.detachFile(f)
		f.parent = bin
		p.attachFile(f)
		return
	}
	d := p.mustFolder(id)
	p.publishFolder("folder.trashed", by, d)
	p.detachFolder(d)
	d.parent = bin
	p.attachFolder(d)
}

// Delete removes an entry for good: file.deleted, folder.deleted or room.deleted, showing
// the entry where it was. The number of the newest file will be used again.
func (p *Portal) Delete(kind Kind, id ID, by UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if kind == KindFile {
		f := p.mustFile(id)
		p.publishFile("file.deleted", by, f)
		p.removeFile(f)
		return
	}
	d := p.mustFolder(id)
	p.publishFolder(d.prefix()+".deleted", by, d)
	p.removeFolder(d)
}

// DeleteFolder is Delete of a folder or room.
func (p *Portal) DeleteFolder(id ID, by UserID) { p.Delete(KindFolder, id, by) }

// Restore moves an entry out of the trash: file.restored or folder.restored.
func (p *Portal) Restore(kind Kind, id, to ID, by UserID) {
	p.MoveEntry(kind, id, to, Duplicate, by)
}

// CreateFolder makes a folder: folder.created. The title may be taken already.
func (p *Portal) CreateFolder(parent ID, title string, by UserID) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.createFolder(p.mustFolder(parent), title, by).id
}

func (p *Portal) createFolder(in *folder, title string, by UserID) *folder {
	d := p.putFolder(in, cleanTitle(title), by)
	p.publishFolder("folder.created", by, d)
	return d
}

// CreateRoom makes a room: room.created by its owner.
func (p *Portal) CreateRoom(r Room) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.addRoom(r)
	p.publishFolder("room.created", d.createdBy, d)
	return d.id
}

// ArchiveRoom moves a room to the archive: room.archived.
func (p *Portal) ArchiveRoom(id ID, by UserID) { p.moveRoom(id, p.archive, "room.archived", by) }

// UnarchiveRoom brings a room back: room.restored.
func (p *Portal) UnarchiveRoom(id ID, by UserID) { p.moveRoom(id, p.rooms, "room.restored", by) }

func (p *Portal) moveRoom(id, to ID, trigger string, by UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.mustRoom(id)
	p.detachFolder(d)
	d.parent = to
	p.attachFolder(d)
	p.publishFolder(trigger, by, d)
}

// DuplicateRoom copies a room with everything in it: room.copied, and file.copied and
// folder.copied for what it holds.
func (p *Portal) DuplicateRoom(id ID, by UserID) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.mustRoom(id)
	op := &operation{owner: by, conflict: Duplicate, instant: true}
	title := freeTitle(d.title, KindFolder, func(t string) bool { return p.folderTitled(p.rooms, t) != nil })
	room := p.addRoom(Room{
		Title: title, Type: d.room.kind, Tags: d.room.tags, Owner: by, Quota: d.room.quota,
		Private: d.room.private, DenyDownload: d.room.denyDownload,
	})
	p.publishFolder("room.copied", by, room)
	p.transferContents(op, d, room)
	return room.id
}

// SetTags replaces a room's tags. Tags fire no webhook.
func (p *Portal) SetTags(room ID, tags ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mustRoom(room).room.tags = slices.Clone(tags)
}

// MoveEntry moves a file or folder the way fileops does, with the same events, and answers
// the id of what is in the destination afterwards: the entry itself, the file it
// overwrote, the folder it was merged into, or "" when a clash made it stay.
func (p *Portal) MoveEntry(kind Kind, id, to ID, conflict Conflict, by UserID) ID {
	return p.transferEntry(kind, id, to, conflict, by, true)
}

// CopyEntry copies a file or folder the way fileops does; see MoveEntry.
func (p *Portal) CopyEntry(kind Kind, id, to ID, conflict Conflict, by UserID) ID {
	return p.transferEntry(kind, id, to, conflict, by, false)
}

func (p *Portal) transferEntry(kind Kind, id, to ID, conflict Conflict, by UserID, move bool) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	op := &operation{owner: by, move: move, conflict: conflict, instant: true}
	if kind == KindFile {
		result, _ := p.transferFile(op, p.mustFile(id), p.mustFolder(to))
		return result
	}
	result, _ := p.transferFolder(op, p.mustFolder(id), p.mustFolder(to))
	return result
}

// SubmitForm is a filled-in form sent off in a form filling room: the filled file appears
// in the folder given and form.submit fires, instead of any file event, with both files.
func (p *Portal) SubmitForm(original, into ID, title string, size int64, by UserID) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	form, in := p.mustFile(original), p.mustFolder(into)
	submitted := p.putFile(in, &file{title: savedTitle(title), size: size, createdBy: by, isForm: true})
	p.publish("form.submit", by, subject{
		target: form.id, kind: "form", in: p.folders[form.parent],
		payload: func(owner UserID) object {
			return object{{"originalForm", p.filePayload(form, owner)}, {"submittedForm", p.filePayload(submitted, owner)}}
		},
	})
	return submitted.id
}

// FinishForm is the last role's signature in a data room: form.filled.out.
func (p *Portal) FinishForm(id ID, by UserID) { p.fire("form.filled.out", id, by) }

// StopForm ends the filling of a form early: form.stopped.
func (p *Portal) StopForm(id ID, by UserID) { p.fire("form.stopped", id, by) }

// Download of a file fires file.downloaded.
func (p *Portal) Download(id ID, by UserID) { p.fire("file.downloaded", id, by) }

func (p *Portal) fire(trigger string, id ID, by UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.publishFile(trigger, by, p.mustFile(id))
}

// CreateUser adds a person and fires user.created, whose payload is no entry at all.
func (p *Portal) CreateUser(u User, by UserID) UserID {
	p.mu.Lock()
	defer p.mu.Unlock()
	added := p.addUser(u)
	p.publish("user.created", by, subject{
		target: ID(added.ID), kind: "user",
		payload: func(UserID) object {
			var o object
			o.add("id", added.ID)
			o.add("firstName", added.FirstName)
			o.add("lastName", added.LastName)
			o.add("userName", added.UserName)
			o.add("status", 1)
			o.add("activationStatus", 1)
			o.add("email", strings.ToLower(added.Email))
			o.add("lastModified", added.lastChanged)
			o.add("tenantId", p.opts.TenantID)
			o.add("isActive", true)
			o.add("cultureName", "en-US")
			o.add("createDate", added.created)
			return o
		},
	})
	return added.ID
}
