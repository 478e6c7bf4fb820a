package portalsim

import (
	"fmt"
	"strings"
)

// Texts an operation reports. Only here does DocSpace say what went wrong: refusals inside
// the PUT all read "Access denied".
const (
	textFileNotFound   = "The required file was not found"
	textFolderNotFound = "The required folder was not found"
	textCopyFile       = "You don't have enough permission to copy the file"
	textMoveFile       = "You don't have enough permission to move the file"
	textCopyFolder     = "You don't have enough permission to copy the folder"
	textMoveFolder     = "You don't have enough permission to move the folder"
	textNoRight        = "You don't have enough permission to perform the operation"
	textLocked         = "The file is locked"
	textEditing        = "The file is being edited"
	textFormat         = "The file format is not supported"
	textCopyToForms    = "The file cannot be uploaded to this room. Only ready PDF forms can be added here"
	textMoveToForms    = "The file cannot be moved to this room. Only ready PDF forms can be added here"
	textOneForm        = "Only one PDF form at a time can be moved to this room"
	textIntoItself     = "You cannot copy the folder to its subfolder"
)

// transferFile does with one file what the operation asks for. It answers the id of the
// file in the destination, "" when nothing came about, and the error, which is empty when a
// clash made DocSpace skip the file: the only evidence of that is the missing entry.
func (p *Portal) transferFile(op *operation, f *file, to *folder) (ID, string) {
	from := p.folders[f.parent]
	if text := p.refusal(op, f, from, to); text != "" {
		return "", text
	}
	var other *file // the file of the same title in the destination
	if op.conflict != Duplicate && !f.encrypted {
		other = p.clash(to.id, f.title, f.isForm)
	}
	switch {
	case other == nil && op.move:
		if text := p.quotaRefusal(op, f.size, from, to); text != "" {
			return "", text
		}
		return p.moveFile(op, f, from, to), ""
	case other == nil:
		if text := p.quotaRefusal(op, f.size, from, to); text != "" {
			return "", text
		}
		return p.copyFile(op, f, to), ""
	case op.conflict == Overwrite:
		return p.overwriteFile(op, f, other)
	default:
		return "", ""
	}
}

// refusal repeats, for one file and at the time of its turn, what the PUT checked before.
func (p *Portal) refusal(op *operation, f *file, from, to *folder) string {
	if op.instant {
		return ""
	}
	form := p.placeOf(to).room
	switch {
	case op.move && !p.canMoveFrom(op.owner, from, f.createdBy):
		return textMoveFile
	case !op.move && !p.canCopyFrom(op.owner, from):
		return textCopyFile
	case !p.samePrivacy(from, to):
		return textMoveFile
	case !p.uploadable(f.title):
		return textFormat
	case form != nil && form.room.kind == RoomFormFilling && !f.isForm && op.move:
		return textMoveToForms
	case form != nil && form.room.kind == RoomFormFilling && !f.isForm:
		return textCopyToForms
	case op.move && f.lockedFor(op.owner):
		return textLocked
	case op.move && f.editing:
		return textEditing
	default:
		return ""
	}
}

// copyFile makes a new file of the caller's: first version, no history, extension in lower
// case, and a number behind the title when that is taken.
func (p *Portal) copyFile(op *operation, f *file, to *folder) ID {
	title := freeTitle(savedTitle(f.title), KindFile, func(t string) bool { return p.clash(to.id, t, f.isForm) != nil })
	made := p.putFile(to, &file{
		title: title, size: f.size, createdBy: op.owner, isForm: f.isForm, encrypted: f.encrypted,
	})
	p.publishFile("file.copied", op.owner, made)
	return made.id
}

// moveFile keeps everything but the place; even a title that is taken, so that two
// siblings may share one. Between kinds of storage a move is a copy and a deletion, and
// changes the id.
func (p *Portal) moveFile(op *operation, f *file, from, to *folder) ID {
	moved := f
	if f.account == to.account {
		p.detachFile(f)
		f.parent = to.id
		p.attachFile(f)
		p.reID(f)
	} else {
		moved = p.putFile(to, &file{
			title: f.title, size: f.size, createdBy: f.createdBy, modifiedBy: f.modifiedBy,
			created: f.created, modified: f.modified, isForm: f.isForm, comment: f.comment,
		})
		p.removeFile(f)
	}
	trigger := "file.moved"
	if from.kind == typeTrash {
		trigger = "file.restored"
	}
	p.publishFile(trigger, op.owner, moved)
	return moved.id
}

// overwriteFile turns f into a new version of another file, which keeps its id. A move
// then deletes f, unless both are the same file.
func (p *Portal) overwriteFile(op *operation, f, other *file) (ID, string) {
	if !op.instant {
		switch {
		case !p.canEdit(op.owner, other):
			return "", textNoRight
		case other.lockedFor(op.owner):
			return "", textLocked
		case other.editing:
			return "", textEditing
		}
	}
	p.newVersion(other, f.size, op.owner)
	other.comment = "Overwritten"
	switch {
	case !op.move:
		p.publishFile("file.copied", op.owner, other)
	case f.parent == other.parent:
		// Moved to where it is: a version more, and no event.
	default:
		p.removeFile(f)
		p.publishFile("file.moved", op.owner, other)
	}
	return other.id, ""
}

// transferFolder does with one folder, and everything in it, what the operation asks for;
// see transferFile. A folder of the same title in the destination is merged with, unless
// duplicates are asked for.
func (p *Portal) transferFolder(op *operation, d *folder, to *folder) (ID, string) {
	from := p.folders[d.parent]
	if !op.instant {
		switch {
		case op.move && !p.canMoveFrom(op.owner, from, d.createdBy):
			return "", textMoveFolder
		case !op.move && !p.canCopyFrom(op.owner, d):
			return "", textCopyFolder
		}
	}
	if p.inside(to.id, d.id) {
		return "", textIntoItself
	}
	if d.parent == to.id && op.conflict != Duplicate {
		return "", ""
	}
	var twin *folder
	if op.conflict != Duplicate {
		twin = p.folderTitled(to.id, d.title)
	}
	if op.move && twin == nil {
		op.processed++
		return p.moveFolder(op, d, from, to), ""
	}
	if op.move {
		// The contents move one by one, with an event each; the folder itself goes when
		// nothing stayed behind, and has none.
		p.transferContents(op, d, twin)
		if s := p.shelfOf(d.id); len(s.files)+len(s.folders) > 0 || p.folders[d.id] == nil {
			return "", ""
		}
		p.removeFolder(d)
		op.processed++
		return twin.id, ""
	}

	made := twin
	if made == nil {
		title := freeTitle(d.title, KindFolder, func(t string) bool { return p.folderTitled(to.id, t) != nil })
		made = p.putFolder(to, title, op.owner)
		op.processed++ // counted now, and once more when its contents are through
	}
	p.publishFolder("folder.copied", op.owner, made)
	if !p.transferContents(op, d, made) {
		return "", ""
	}
	op.processed++
	return made.id, ""
}

// transferContents transfers what lies directly in a folder: files first, then folders. It
// reports false when the operation was cancelled on the way.
func (p *Portal) transferContents(op *operation, d, to *folder) bool {
	for _, f := range p.filesIn(d.id) {
		if !p.tick(op) {
			return false
		}
		if p.files[f.id] == nil || p.folders[to.id] == nil {
			continue // deleted while the operation worked on something else
		}
		result, text := p.transferFile(op, f, to)
		op.note(text)
		if result != "" {
			op.processed++
		}
	}
	for _, sub := range p.foldersIn(d.id) {
		if !p.tick(op) {
			return false
		}
		if p.folders[sub.id] == nil || p.folders[to.id] == nil {
			continue
		}
		_, text := p.transferFolder(op, sub, to)
		op.note(text)
	}
	return true
}

// moveFolder moves a folder as a whole: one event, none for what is in it.
func (p *Portal) moveFolder(op *operation, d, from, to *folder) ID {
	trigger := "folder.moved"
	if from.kind == typeTrash {
		trigger = "folder.restored"
	}
	if d.account == to.account && d.account == nil {
		p.detachFolder(d)
		d.parent = to.id
		p.attachFolder(d)
		p.publishFolder(trigger, op.owner, d)
		return d.id
	}
	// Other storage, or ids that are paths: everything in the folder gets a new id.
	made := p.putFolder(to, d.title, d.createdBy)
	made.created, made.modified = d.created, d.modified
	p.regrow(d, made)
	p.removeFolder(d)
	p.publishFolder(trigger, op.owner, made)
	return made.id
}

func (p *Portal) regrow(d, made *folder) {
	for _, f := range p.filesIn(d.id) {
		p.putFile(made, &file{
			title: f.title, size: f.size, createdBy: f.createdBy, modifiedBy: f.modifiedBy,
			created: f.created, modified: f.modified, isForm: f.isForm, comment: f.comment,
		})
	}
	for _, sub := range p.foldersIn(d.id) {
		p.regrow(sub, p.putFolder(made, sub.title, sub.createdBy))
	}
}

// samePrivacy: private rooms neither take from nor give to anything outside themselves.
func (p *Portal) samePrivacy(from, to *folder) bool {
	a, b := p.placeOf(from).room, p.placeOf(to).room
	private := a != nil && a.room.private || b != nil && b.room.private
	return !private || a == b
}

func (p *Portal) uploadable(title string) bool {
	if len(p.opts.UploadFilter) == 0 {
		return true
	}
	ext := extension(title)
	for _, allowed := range p.opts.UploadFilter {
		if strings.EqualFold(ext, allowed) {
			return true
		}
	}
	return false
}

// quotaRefusal checks whether a file of this size fits. Unlike everything else this is
// found out only while the operation runs. A copy may overshoot once, up to twice the
// quota; a move has to fit.
func (p *Portal) quotaRefusal(op *operation, size int64, from, to *folder) string {
	if op.instant {
		return ""
	}
	if limit := p.opts.MaxFileSize; limit > 0 && size > limit {
		return fmt.Sprintf("The maximum file size is exceeded (%s)", humanSize(limit))
	}
	quota, used, what := p.quotaOf(from, to)
	switch {
	case quota == 0:
		return ""
	case op.move && used+size > quota,
		!op.move && (used > quota || used+size > 2*quota):
		return fmt.Sprintf("%s space quota exceeded (%s)", what, humanSize(quota))
	default:
		return ""
	}
}

// quotaOf finds the quota that something from one folder meets in another; none within one
// room, or one user's documents.
func (p *Portal) quotaOf(from, to *folder) (quota, used int64, what string) {
	a, b := p.placeOf(from), p.placeOf(to)
	if b.room != nil && b.room != a.room {
		return b.room.room.quota, p.sizeOf(b.room.id), "Room"
	}
	if b.room == nil && b.section.kind == typeDocuments && b.section != a.section {
		if u := p.people[b.section.createdBy]; u != nil {
			return u.Quota, p.sizeOf(b.section.id), "User"
		}
	}
	return 0, 0, ""
}

// humanSize is how DocSpace prints sizes.
func humanSize(n int64) string {
	units := []string{"bytes", "KB", "MB", "GB", "TB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	text := strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", value), "0"), ".")
	return text + " " + units[unit]
}
