package event

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExpandTrigger(t *testing.T) {
	t.Parallel()
	tests := []struct {
		trigger string
		want    []string
	}{
		{"file.uploaded", []string{"file.uploaded"}},
		{"form.submit", []string{"form.submit"}},
		{"file.*", []string{"file.created", "file.uploaded", "file.updated", "file.restored", "file.copied", "file.moved"}},
		{"folder.*", []string{"folder.created", "folder.updated", "folder.restored", "folder.copied", "folder.moved"}},
		{"form.*", []string{"form.submit", "form.filled.out", "form.stopped"}},
		{"file.deleted", nil},
		{"file.trashed", nil},
		{"file.downloaded", nil},
		{"user.*", nil},
		{"user.created", nil},
		{"room.*", nil},
		{"room.created", nil},
		{"agent.*", nil},
		{"group.updated", nil},
		{"*", nil},
		{".*", nil},
		{"file*", nil},
		{"file.c*", nil},
		{"File.uploaded", nil},
		{"", nil},
	}
	for _, tt := range tests {
		t.Run(tt.trigger, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, ExpandTrigger(tt.trigger)); diff != "" {
				t.Errorf("stands for (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRoutableTriggersLeaveSomethingToCopy(t *testing.T) {
	t.Parallel()
	for _, trigger := range RoutableTriggers() {
		if !slices.Contains(Triggers(), trigger) {
			t.Errorf("DocSpace knows no %s", trigger)
		}
		family, action, _ := strings.Cut(trigger, ".")
		if !slices.Contains([]string{"file", "folder", "form"}, family) || action == "trashed" || action == "deleted" {
			t.Errorf("%s leaves nothing to copy", trigger)
		}
	}
}

func TestTriggersAreDocSpacesOwn(t *testing.T) {
	t.Parallel()
	if n := len(Triggers()); n != 36 { // one bit each, 1 to 34359738368
		t.Errorf("there are %d triggers", n)
	}
	if sorted := slices.Sorted(slices.Values(Triggers())); len(slices.Compact(sorted)) != 36 {
		t.Error("a trigger is listed twice")
	}
}

func TestListsOfTriggersAreCopies(t *testing.T) {
	t.Parallel()
	Triggers()[0], RoutableTriggers()[0] = "changed", "changed"
	if Triggers()[0] == "changed" || RoutableTriggers()[0] == "changed" {
		t.Error("a caller can change the list")
	}
}

func TestKindOfTrigger(t *testing.T) {
	t.Parallel()
	for trigger, want := range map[string]Kind{
		"file.moved": File, "form.submit": File, "folder.moved": Folder, "room.created": Folder, "agent.updated": Folder, "": File, "filer": File,
	} {
		if got := KindOf(trigger); got != want {
			t.Errorf("%q is about a %s, want a %s", trigger, got, want)
		}
	}
}
