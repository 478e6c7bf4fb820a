package portalsim

import (
	"strings"
)

// fileDTO is a file as the API shows it to a user.
func (p *Portal) fileDTO(f *file, user UserID) dto {
	in := p.folders[f.parent]
	pl := p.placeOf(in)
	edit := p.canEdit(user, f) && !f.lockedFor(user)
	o := dto{
		"folderId": f.parent, "version": f.version, "versionGroup": f.version,
		// Bytes are elsewhere: this is text for people.
		"contentLength": humanSize(f.size), "pureContentLength": f.size,
		"fileStatus": 0, "mute": false, "viewUrl": p.viewURL(f), "webUrl": p.webURL(f),
		"fileType": fileType(f.title), "fileExst": strings.ToLower(extension(f.title)),
		"comment": f.comment, "encrypted": f.encrypted, "isForm": f.isForm, "locked": f.lockedBy != "",
		"security": dto{
			"Read": true, "Edit": edit, "Rename": edit, "Download": p.canCopyFrom(user, in),
			"Copy": p.canCopyFrom(user, in), "Move": p.canMoveFrom(user, in, f.createdBy),
			"Delete": p.canMoveFrom(user, in, f.createdBy),
		},
	}
	if f.lockedBy != "" {
		o["lockedBy"] = p.displayName(f.lockedBy)
	}
	p.addCommon(o, basics{
		id: f.id, title: f.title, file: true, createdBy: f.createdBy, modifiedBy: f.modifiedBy,
		created: f.created, modified: f.modified, account: f.account,
	}, pl, user)
	if pl.room != nil {
		o["parentRoomType"] = pl.room.kind // a folder type, not a room type
	}
	return o
}

// folderDTO is a folder, room or section as the API shows it to a user. Only rooms have a
// roomType.
func (p *Portal) folderDTO(d *folder, user UserID) dto {
	pl := p.placeOf(d)
	s := p.shelfOf(d.id)
	create := p.canCreateIn(user, d)
	manage := false
	if pl.room != nil {
		role := p.role(user, pl.room)
		manage = role == roomOwner || role == RoomManager
	}
	o := dto{
		"filesCount": len(s.files), "foldersCount": len(s.folders), "new": 0, "mute": false,
		"pinned": false, "private": false, "indexing": false, "denyDownload": false,
		"tags": []string{}, "type": d.kind,
		"security": dto{
			"Read": p.canRead(user, d), "Create": create, "CopyTo": create, "MoveTo": create,
			"Copy": p.canCopyFrom(user, d), "Download": p.canCopyFrom(user, d),
			"Move": manage, "Rename": manage, "Delete": manage, "EditRoom": manage,
		},
	}
	if d.parent != "" {
		o["parentId"] = d.parent
	}
	if d.room != nil {
		o["roomType"] = d.room.kind
		o["tags"] = append([]string{}, d.room.tags...)
		o["private"], o["denyDownload"] = d.room.private, d.room.denyDownload
		o["logo"] = dto{"original": "", "large": "", "medium": "", "small": "", "color": "4781D1"}
		if d.room.quota > 0 {
			o["quotaLimit"], o["usedSpace"] = d.room.quota, p.sizeOf(d.id)
		}
	} else if pl.room != nil {
		o["parentRoomType"] = pl.room.kind
	}
	p.addCommon(o, basics{
		id: d.id, title: d.title, createdBy: d.createdBy, modifiedBy: d.modifiedBy,
		created: d.created, modified: d.modified, account: d.account,
	}, pl, user)
	return o
}

func (p *Portal) addCommon(o dto, b basics, pl place, user UserID) {
	o["id"], o["title"] = b.id, b.title
	o["access"] = 0
	o["shared"] = false
	if pl.room != nil {
		o["access"] = max(int(p.role(user, pl.room)), 0)
		o["shared"] = len(pl.room.room.members) > 0
	}
	o["created"], o["updated"] = p.local(b.created), p.local(b.modified)
	o["createdBy"], o["updatedBy"] = p.personDTO(b.createdBy), p.personDTO(b.modifiedBy)
	if pl.section != nil {
		o["rootFolderId"], o["rootFolderType"] = pl.rootID(), pl.section.kind
	}
	if b.account != nil {
		o["providerItem"], o["providerKey"], o["providerId"] = true, providerKeys[b.account.provider], b.account.number
	}
	o["fileEntryType"] = 1
	if b.file {
		o["fileEntryType"] = 2
	}
}

// personDTO is the short form of a user, which has no e-mail address.
func (p *Portal) personDTO(id UserID) dto {
	return dto{
		"id": id, "displayName": p.displayName(id), "avatar": defaultAvatar,
		"hasAvatar": false, "isAnonim": id == AnonymousUser, "profileUrl": "",
	}
}

// fullPersonDTO is a user's profile.
func (p *Portal) fullPersonDTO(u *User) dto {
	o := p.personDTO(u.ID)
	for name, value := range (dto{
		"firstName": u.FirstName, "lastName": u.LastName, "userName": u.UserName, "email": u.Email,
		"status": 1, "activationStatus": 1, "isAdmin": u.Admin || u.Owner, "isOwner": u.Owner,
		"isRoomAdmin": u.RoomAdmin, "isVisitor": u.Guest, "isCollaborator": !u.Guest && !u.Admin && !u.Owner && !u.RoomAdmin,
		"workFrom": p.local(u.created), "cultureName": "en-US",
	}) {
		o[name] = value
	}
	return o
}
