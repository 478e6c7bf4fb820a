package backfill

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/store"
)

// TestPagesMissNothingWhileTheFolderChanges reads a folder page by page while files and folders
// come and go. Every file that is there all the time is seen, and none is seen twice.
func TestPagesMissNothingWhileTheFolderChanges(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 7))
		var files []docspace.File
		var folders []docspace.Folder
		next := 0
		add := func() {
			// Some are created in one moment, as those of an upload of many are.
			at := start.Add(time.Duration(next/(1+int(seed%40))) * time.Second)
			files = append(files, docspace.File{ID: event.ID(fmt.Sprint(next)), Created: at})
			next++
		}
		for range random.IntN(700) {
			add()
		}
		always := map[event.ID]bool{}
		for _, f := range files {
			always[f.ID] = true
		}
		seen := map[event.ID]int{}
		f := store.BackfillFolder{}
		for reads := 0; !f.Walked; reads++ {
			if reads > 2000 {
				t.Fatalf("seed %d: the walk does not end", seed)
			}
			page := docspace.Contents{Total: len(folders) + len(files)}
			from, to := min(f.Start, page.Total), min(f.Start+pageSize, page.Total)
			page.Folders = folders[min(from, len(folders)):min(to, len(folders))]
			page.Files = files[max(from-len(folders), 0):max(to-len(folders), 0)]
			_, fresh := advance(&f, page)
			for _, file := range fresh {
				seen[file.ID]++
			}
			if reads > 40 {
				continue // people go home
			}
			for range random.IntN(4) {
				switch random.IntN(6) {
				case 0:
					add()
				case 1:
					folders = append(folders, docspace.Folder{ID: event.ID(fmt.Sprint("folder ", reads))})
				case 2:
					folders = folders[:max(len(folders)-1, 0)]
				case 3: // as when the rule moves what was read
					for range min(len(files), random.IntN(120)) {
						delete(always, files[0].ID)
						files = slices.Clone(files[1:])
					}
				case 4:
					if len(files) > 0 {
						i := random.IntN(len(files))
						delete(always, files[i].ID)
						files = slices.Delete(slices.Clone(files), i, i+1)
					}
				}
			}
		}
		for id := range always {
			if seen[id] == 0 {
				t.Errorf("seed %d: file %s was missed", seed, id)
			}
		}
		for id, n := range seen {
			if n > 1 {
				t.Errorf("seed %d: file %s was seen %d times", seed, id, n)
			}
		}
	}
}
