package portalsim

import (
	"fmt"
	"net/url"
	"strings"
)

// filePayloadV4 is the payload of the next server generation: the API's own view of the
// file, with size, version and people. Members particular to files come first, as they do
// in a captured delivery.
func (p *Portal) filePayloadV4(f *file, in *folder) object {
	var o object
	o.add("fileEntryType", 2)
	o.add("version", f.version)
	o.add("versionGroup", f.version)
	o.add("contentLength", f.size)
	o.add("fileType", fileType(f.title))
	o.add("fileExst", strings.ToLower(extension(f.title)))
	o.add("comment", f.comment)
	o.add("encrypted", f.encrypted)
	o.add("locked", f.lockedBy != "")
	o.add("lockedBy", p.displayName(f.lockedBy))
	o.add("isForm", f.isForm)
	o.add("viewUrl", p.viewURL(f))
	o.add("webUrl", p.webURL(f))
	return append(o, p.commonV4(basics{
		id: f.id, parent: f.parent, title: f.title, createdBy: f.createdBy,
		modifiedBy: f.modifiedBy, created: f.created, modified: f.modified, account: f.account,
	}, in)...)
}

func (p *Portal) folderPayloadV4(d *folder) object {
	var o object
	o.add("fileEntryType", 1)
	if d.room != nil {
		o.add("roomType", d.room.kind)
		o.add("private", d.room.private)
		o.add("denyDownload", d.room.denyDownload)
		o.add("quotaLimit", d.room.quota)
	}
	o.add("filesCount", len(p.shelfOf(d.id).files))
	o.add("foldersCount", len(p.shelfOf(d.id).folders))
	o.add("type", d.kind)
	return append(o, p.commonV4(basics{
		id: d.id, parent: d.parent, title: d.title, createdBy: d.createdBy,
		modifiedBy: d.modifiedBy, created: d.created, modified: d.modified, account: d.account,
	}, d)...)
}

// commonV4 are the members every entry has. The contract names parentRoomType among them,
// but a captured delivery of a file in a room goes without it, so none is sent.
func (p *Portal) commonV4(b basics, in *folder) object {
	pl := p.placeOf(in)
	var o object
	o.add("id", b.id)
	o.add("parentId", b.parent)
	o.add("rootFolderId", pl.rootID())
	o.add("title", b.title)
	o.add("created", b.created)
	o.add("createdBy", p.personV4(b.createdBy))
	o.add("updated", b.modified)
	o.add("updatedBy", p.personV4(b.modifiedBy))
	if pl.section != nil {
		o.add("rootFolderType", pl.section.kind)
	}
	if b.account != nil {
		o.add("providerKey", providerKeys[b.account.provider])
		o.add("providerId", b.account.number)
	}
	return o
}

func (p *Portal) personV4(id UserID) object {
	u := p.people[id]
	if u == nil {
		u = &User{ID: id}
	}
	var o object
	o.add("id", id)
	o.add("displayName", u.DisplayName)
	o.add("userName", u.UserName)
	o.add("email", u.Email)
	o.add("avatar", defaultAvatar)
	if u.Email != "" {
		o.add("profileUrl", p.baseURL+"/accounts/people/filter?search="+url.QueryEscape(u.Email))
	}
	return o
}

const defaultAvatar = "/static/images/default_user_photo_size_82-82.png?hash=1344018457"

func (p *Portal) displayName(id UserID) string {
	if u := p.people[id]; u != nil {
		return u.DisplayName
	}
	return ""
}

func (p *Portal) viewURL(f *file) string {
	return fmt.Sprintf("%s/filehandler.ashx?action=download&fileid=%s", p.baseURL, url.QueryEscape(string(f.id)))
}

func (p *Portal) webURL(f *file) string {
	return fmt.Sprintf("%s/doceditor?fileid=%s&version=%d", p.baseURL, url.QueryEscape(string(f.id)), f.version)
}

// fileType is DocSpace's grouping of extensions.
func fileType(title string) int {
	switch strings.ToLower(extension(title)) {
	case ".zip", ".rar", ".7z", ".gz", ".tar":
		return 1
	case ".mp4", ".avi", ".mov", ".mkv", ".webm":
		return 2
	case ".mp3", ".wav", ".ogg", ".flac":
		return 3
	case ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".svg", ".webp":
		return 4
	case ".xlsx", ".xls", ".csv", ".ods":
		return 5
	case ".pptx", ".ppt", ".odp":
		return 6
	case ".docx", ".doc", ".odt", ".rtf", ".txt", ".html":
		return 7
	case ".pdf":
		return 10
	default:
		return 0
	}
}
