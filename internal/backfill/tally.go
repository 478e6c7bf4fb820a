package backfill

import (
	"encoding/json"

	"docspace-router/internal/event"
)

// The reasons for which an entry is left out.
const (
	SkippedWhen        = "its conditions do not hold"
	SkippedOther       = "an earlier rule stops, or moves it"
	SkippedError       = "an expression of the rule failed"
	SkippedTransferred = "the rule has transferred it already"
	SkippedQueued      = "the rule has a transfer of it under way"
	SkippedOwn         = "the gateway itself put it there"
	SkippedSince       = "neither created nor changed since then"
	SkippedThere       = "it lies where it would go"
	SkippedSource      = "it does not lie in the rule's source any more"
	SkippedArchived    = "it lies in the archive or the trash"
	SkippedUnreadable  = "the gateway's account may not read it"
)

// Amount is a number of entries and what they weigh.
type Amount struct {
	Entries int   `json:"entries"`
	Bytes   int64 `json:"bytes" doc:"of files; folders count as nothing"`
}

func (a *Amount) add(bytes int64) {
	a.Entries++
	a.Bytes += bytes
}

// Tally is what a walk has met.
type Tally struct {
	FoldersFound  int `json:"folders_found"`
	FoldersWalked int `json:"folders_walked"`
	Entries       int `json:"entries" doc:"files and folders that were looked at"`

	Routed Amount `json:"routed" doc:"what goes somewhere"`
	// Destinations counts transfers: an entry may go to several.
	Destinations map[event.ID]Amount `json:"destinations" doc:"transfers by the destination folder that the rule names"`
	Skipped      map[string]int      `json:"skipped" doc:"entries left out, by reason"`
	Failed       int                 `json:"failed" doc:"entries whose destination cannot be told; their events are stored as failed"`
	// Unreadable are folders that were left out, with why.
	Unreadable map[event.ID]string `json:"unreadable,omitempty" doc:"folders that could not be read, and why"`
}

// maxUnreadable bounds what is told of folders that could not be read.
const maxUnreadable = 100

func newTally(raw []byte) (Tally, error) {
	t := Tally{Destinations: map[event.ID]Amount{}, Skipped: map[string]int{}, Unreadable: map[event.ID]string{}}
	if len(raw) == 0 {
		return t, nil
	}
	return t, json.Unmarshal(raw, &t)
}

func (t *Tally) skip(reason string) { t.Skipped[reason]++ }

func (t *Tally) route(bytes int64, destinations []event.ID) {
	t.Routed.add(bytes)
	for _, d := range destinations {
		a := t.Destinations[d]
		a.add(bytes)
		t.Destinations[d] = a
	}
}

func (t *Tally) unreadable(folder event.ID, err error) {
	t.skip(SkippedUnreadable)
	if len(t.Unreadable) < maxUnreadable {
		t.Unreadable[folder] = err.Error()
	}
}
