package portalsim

import (
	"fmt"
	"slices"
	"time"
)

// triggers in DocSpace's order; the value of each is one bit, from 1 upwards.
var triggerNames = [...]string{
	"user.created", "user.invited", "user.updated", "user.deleted",
	"group.created", "group.updated", "group.deleted",
	"file.created", "file.uploaded", "file.updated", "file.trashed", "file.deleted",
	"file.restored", "file.copied", "file.moved",
	"folder.created", "folder.updated", "folder.trashed", "folder.deleted",
	"folder.restored", "folder.copied", "folder.moved",
	"room.created", "room.updated", "room.archived", "room.deleted", "room.restored", "room.copied",
	"form.submit", "form.filled.out", "form.stopped",
	"agent.created", "agent.updated", "agent.deleted",
	"file.downloaded", "folder.downloaded",
}

// adminTriggers may be subscribed to by portal and room admins only.
var adminTriggers = []string{
	"user.created", "user.invited", "group.created", "group.updated", "group.deleted",
	"room.created", "room.copied", "agent.created",
}

// triggerBit is the value of a trigger by name; zero stands for all of them ("*").
func triggerBit(name string) int64 {
	if name == "*" {
		return 0
	}
	i := slices.Index(triggerNames[:], name)
	if i < 0 {
		panic(fmt.Sprintf("portalsim: no trigger %q", name))
	}
	return 1 << i
}

// triggerList names the triggers of a mask, in the order of their bits.
func triggerList(mask int64) []string {
	if mask == 0 {
		return []string{"*"}
	}
	var names []string
	for i, name := range triggerNames {
		if mask&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// subject is what an event is about, as it was when the event was published.
type subject struct {
	target  ID      // what a webhook's target is compared with
	kind    string  // of the target: "file", "room", "form" ...
	in      *folder // whose readers learn of the event; nil: everybody
	payload func(owner UserID) object
}

// publish writes a log row for every webhook that wants the event, and queues it. The
// payload is built now, from the entry as it is now; nothing later changes it.
func (p *Portal) publish(trigger string, actor UserID, s subject) {
	bit := triggerBit(trigger)
	at := p.now()
	for _, h := range p.sortedHooks() {
		if !h.enabled || h.triggers != 0 && h.triggers&bit == 0 {
			continue
		}
		if h.target != "" && h.target != string(s.target) {
			continue
		}
		if s.in != nil && h.owner != actor && !p.canRead(h.owner, s.in) {
			continue
		}
		owner := h.owner
		if owner == actor {
			owner = "" // the sharing record is looked up for others than the actor only
		}
		p.addRow(&row{
			hook: h.id, hookName: h.name, trigger: trigger, created: at,
			createdBy: actor, payload: s.payload(owner), hookInfo: h.snapshot(s.kind),
		})
	}
}

// publishFile fires a file event. Shape and rights follow the file's present folder.
func (p *Portal) publishFile(trigger string, actor UserID, f *file) {
	in := p.folders[f.parent]
	p.publish(trigger, actor, subject{
		target: f.id, kind: "file", in: in,
		payload: func(owner UserID) object { return p.filePayload(f, owner) },
	})
}

// publishFolder fires a folder or room event.
func (p *Portal) publishFolder(trigger string, actor UserID, d *folder) {
	kind := "folder"
	if d.room != nil {
		kind = "room"
	}
	p.publish(trigger, actor, subject{
		target: d.id, kind: kind, in: d,
		payload: func(owner UserID) object { return p.folderPayload(d, owner) },
	})
}

// filePayload is the body's payload for a file, in the portal's generation.
func (p *Portal) filePayload(f *file, owner UserID) object {
	in := p.folders[f.parent]
	if p.opts.Generation == 4 {
		return p.filePayloadV4(f, in)
	}
	return p.entryPayload(basics{
		id: f.id, parent: f.parent, title: f.title, file: true, createdBy: f.createdBy,
		modifiedBy: f.modifiedBy, created: f.created, modified: f.modified, account: f.account,
	}, in, owner)
}

func (p *Portal) folderPayload(d *folder, owner UserID) object {
	if p.opts.Generation == 4 {
		return p.folderPayloadV4(d)
	}
	return p.entryPayload(basics{
		id: d.id, parent: d.parent, title: d.title, createdBy: d.createdBy,
		modifiedBy: d.modifiedBy, created: d.created, modified: d.modified, account: d.account,
	}, d, owner)
}

// basics are the facts the 3.x payload carries, the same few for files and folders.
type basics struct {
	id, parent            ID
	title                 string
	file                  bool
	createdBy, modifiedBy UserID
	created, modified     time.Time
	account               *account
}

// entryPayload is the 3.x payload: the members of the common base class of files and
// folders and nothing else, so no size, no version, no room. in is the folder whose place
// counts: a file's parent, or the folder itself. owner, if not empty, is the webhook's
// owner, whose share shows when their right to the entry comes from one.
func (p *Portal) entryPayload(b basics, in *folder, owner UserID) object {
	pl := p.placeOf(in)
	var o object
	o.add("id", b.id)
	o.add("parentId", b.parent)
	access := NoAccess
	if owner != "" && pl.room != nil {
		if a := pl.room.room.members[owner]; pl.room.createdBy != owner && a != NoAccess {
			access = a
			o.add("shareRecord", p.shareRecord(pl.room, in, owner, a))
		}
	}
	// An empty object is no default: the map is always made.
	o = append(o, member{"securityByUsers", object{}})
	o.add("folderIdDisplay", b.parent)
	o.add("rootId", pl.rootID())
	o.add("title", b.title)
	o.add("createBy", b.createdBy)
	o.add("modifiedBy", b.modifiedBy)
	o.add("access", int(access))
	if pl.room != nil && in != nil && b.file {
		o.add("parentShared", len(pl.room.room.members) > 0)
	}
	if b.account != nil {
		o.add("providerId", b.account.number)
		o.add("providerKey", providerKeys[b.account.provider])
	}
	o.add("createOn", b.created)
	o.add("modifiedOn", b.modified)
	if pl.section != nil {
		o.add("rootFolderType", pl.section.kind)
		o.add("rootCreateBy", pl.section.createdBy)
	}
	kind := 1
	if b.file {
		kind = 2
	}
	o.add("fileEntryType", kind)
	return o
}

func (p *Portal) shareRecord(room, in *folder, owner UserID, a Access) object {
	level := 0
	for d := in; d != nil && d.id != room.id; d = p.folders[d.parent] {
		level++
	}
	var o object
	o.add("tenantId", p.opts.TenantID)
	o.add("entryId", room.id)
	o.add("entryType", 1)
	o.add("subject", owner)
	o.add("owner", room.createdBy)
	o.add("share", int(a))
	o.add("parentId", room.id)
	o.add("level", level)
	return o
}
