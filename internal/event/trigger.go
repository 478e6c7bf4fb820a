package event

import (
	"slices"
	"strings"
)

// FormSubmit is the one trigger whose payload holds two files; its entry is the submitted
// form.
const FormSubmit = "form.submit"

// FolderCreated is the trigger that the gateway itself fires when it makes a path's folders.
const FolderCreated = "folder.created"

// defaultTrigger is what a body without a trigger counts as: the public sample's flat
// bodies describe an upload.
const defaultTrigger = "file.uploaded"

// known lists every trigger of DocSpace's WebhookTrigger enumeration.
var known = []string{
	"user.created", "user.invited", "user.updated", "user.deleted",
	"group.created", "group.updated", "group.deleted",
	"file.created", "file.uploaded", "file.updated", "file.trashed", "file.deleted",
	"file.restored", "file.copied", "file.moved", "file.downloaded",
	"folder.created", "folder.updated", "folder.trashed", "folder.deleted",
	"folder.restored", "folder.copied", "folder.moved", "folder.downloaded",
	"room.created", "room.updated", "room.archived", "room.deleted", "room.restored", "room.copied",
	FormSubmit, "form.filled.out", "form.stopped",
	"agent.created", "agent.updated", "agent.deleted",
}

// routable lists the triggers after which there is an entry that can be copied or moved.
var routable = []string{
	"file.created", "file.uploaded", "file.updated", "file.restored", "file.copied", "file.moved",
	"folder.created", "folder.updated", "folder.restored", "folder.copied", "folder.moved",
	FormSubmit, "form.filled.out", "form.stopped",
}

// Triggers returns every trigger DocSpace knows.
func Triggers() []string { return slices.Clone(known) }

// RoutableTriggers returns the triggers a rule may use: those that leave an entry which can
// be copied or moved.
func RoutableTriggers() []string { return slices.Clone(routable) }

// ExpandTrigger returns the routable triggers that a rule's trigger stands for: itself, or
// with a trailing ".*" those of its family that create, upload, update, restore, copy or
// move. It returns nil for a name that stands for none.
func ExpandTrigger(name string) []string {
	family, wildcard := strings.CutSuffix(name, "*")
	if !wildcard {
		if slices.Contains(routable, name) {
			return []string{name}
		}
		return nil
	}
	if !strings.HasSuffix(family, ".") {
		return nil
	}
	var out []string
	for _, t := range routable {
		if strings.HasPrefix(t, family) {
			out = append(out, t)
		}
	}
	return out
}

// KindOf says which kind of entry a trigger is about; forms are files, rooms are folders.
func KindOf(trigger string) Kind {
	switch family, _, _ := strings.Cut(trigger, "."); family {
	case "folder", "room", "agent":
		return Folder
	default:
		return File
	}
}

// OwnWork reports whether the gateway's own work can fire the trigger: its copies and moves, a
// move of what went to the trash meanwhile, and the folders it creates for a path.
func OwnWork(trigger string) bool {
	_, verb, _ := strings.Cut(trigger, ".")
	return verb == "copied" || verb == "moved" || verb == "restored" || trigger == FolderCreated
}

// hasEntry reports whether deliveries of the trigger are about a file or folder. Those of
// users and groups are not; their bodies hold personal data that must not be kept.
func hasEntry(trigger string) bool {
	return !strings.HasPrefix(trigger, "user.") && !strings.HasPrefix(trigger, "group.")
}
