package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/dispatch"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
)

// put chooses the calls that start copies and moves.
const put = "files/fileops/{id}"

// replaceNewest deletes the newest file for good and gives its number to another one.
func (d *desk) replaceNewest(id portalsim.ID, title string) {
	d.t.Helper()
	d.portal.Delete(portalsim.KindFile, id, d.owner)
	d.wait(10 * time.Second)
	if got := d.portal.AddFile(d.addRoom("Somebody else's"), portalsim.File{Title: title, Size: 7, By: d.owner}); got != id {
		d.t.Fatalf("the new file is number %s, want %s", got, id)
	}
}

// transferOf is the transfer of a title.
func (d *desk) reasonOf(title string, want event.State) string {
	d.t.Helper()
	for _, t := range d.transfers() {
		if t.Title == title {
			if t.State != want {
				d.t.Errorf("the transfer of %s is %s (%s), want %s", title, t.State, t.Reason, want)
			}
			return t.Reason
		}
	}
	d.t.Fatalf("no transfer of %s", title)
	return ""
}

func TestANumberGivenToAnotherFileIsSentAtMostOnce(t *testing.T) {
	t.Parallel()
	for _, conflict := range []event.Conflict{event.Duplicate, event.Overwrite, event.Skip} {
		t.Run(string(conflict), func(t *testing.T) {
			t.Parallel()
			simulate(t, deskOptions{}, func(d *desk) {
				d.conflict = conflict
				d.upload("first.pdf", 10)
				d.upload("second.pdf", 10)
				newest := d.upload("contract.pdf", 10)
				d.replaceNewest(newest, "private.pdf")
				d.start()
				d.rest(time.Hour)
				d.wantTitles("first.pdf", "second.pdf", "private.pdf")
				d.wantCalls(1)
				if reason := d.reasonOf("contract.pdf", event.Failed); !strings.Contains(reason, "deleted") || !strings.Contains(reason, `"private.pdf"`) {
					t.Errorf("reason %q, want it to tell that the file was deleted and private.pdf was sent", reason)
				}
			})
		})
	}
}

func TestANumberGivenToAnotherFileIsNoticedBeforeSending(t *testing.T) {
	t.Parallel()
	t.Run("after a refusal of the batch", func(t *testing.T) {
		t.Parallel()
		simulate(t, deskOptions{}, func(d *desk) {
			gone := d.upload("gone.pdf", 10)
			d.upload("second.pdf", 10)
			newest := d.upload("contract.pdf", 10)
			d.portal.Delete(portalsim.KindFile, gone, d.owner)
			d.replaceNewest(newest, "private.pdf")
			d.start()
			d.rest(time.Hour)
			d.wantTitles("second.pdf")
			d.reasonOf("gone.pdf", event.Failed)
			if reason := d.reasonOf("contract.pdf", event.Failed); !strings.Contains(reason, "deleted") {
				t.Errorf("reason %q, want it to tell that the file was deleted", reason)
			}
		})
	})
	t.Run("before a retry", func(t *testing.T) {
		t.Parallel()
		simulate(t, deskOptions{dispatch: dispatch.Options{RetryFirst: time.Minute}}, func(d *desk) {
			d.portal.Inject(portalsim.Fault{Kind: portalsim.FailItem, Item: 0, Error: "Something went wrong", Times: 1})
			id := d.upload("contract.pdf", 10)
			d.start()
			d.wait(20 * time.Second)
			d.replaceNewest(id, "private.pdf")
			d.rest(time.Hour)
			d.wantTitles()
			d.wantCalls(1)
			if reason := d.reasonOf("contract.pdf", event.Failed); !strings.Contains(reason, "deleted") {
				t.Errorf("reason %q, want it to tell that the file was deleted", reason)
			}
		})
	})
}

// TestALateCopyIsNotMadeAgain lets a file be copied for so long that the portal drops the
// operation, and the file arrive afterwards.
func TestALateCopyIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size     int64
		takes    time.Duration
		retry    time.Duration
		meanwhle func(d *desk)
	}{
		"a moment after the operation was dropped":               {size: 10, takes: 65 * time.Second},
		"within the time to settle":                              {size: 10, takes: 2 * time.Minute},
		"a very large file, long after the time to settle":       {size: 4 << 30, takes: 12 * time.Minute},
		"after it was given up, before it is tried again":        {size: 10, takes: 4 * time.Minute, retry: 10 * time.Minute},
		"while the second try is refused by a limit":             {size: 10, takes: 4 * time.Minute, retry: time.Minute, meanwhle: limitSecondTry},
		"while the destination of the second try takes no files": {size: 10, takes: 4 * time.Minute, retry: time.Minute, meanwhle: closeDestination},
	} {
		for _, conflict := range []event.Conflict{event.Duplicate, event.Overwrite} {
			t.Run(name+", "+string(conflict), func(t *testing.T) {
				t.Parallel()
				o := deskOptions{
					portal:   portalsim.Options{Timings: portalsim.Timings{ItemDuration: c.takes}},
					dispatch: dispatch.Options{RetryFirst: c.retry},
				}
				simulate(t, o, func(d *desk) {
					d.conflict = conflict
					d.upload("Film.mp4", c.size)
					d.start()
					if c.meanwhle != nil {
						c.meanwhle(d)
					}
					d.rest(time.Hour)
					d.wait(time.Hour)
					d.wantTitles("Film.mp4")
					if e := d.portal.List(d.dest)[0]; e.Version != 1 {
						t.Errorf("the file has %d versions, want 1", e.Version)
					}
					if n := len(d.portal.Operations()); n != 1 {
						t.Errorf("%d operations were started, want 1", n)
					}
					d.wantStates(map[event.State]int{event.Done: 1})
				})
			})
		}
	}
}

// limitSecondTry refuses every try after the first one by a limit, for longer than the first
// one takes to arrive.
func limitSecondTry(d *desk) {
	release := d.portal.Inject(portalsim.Fault{Kind: portalsim.RateLimit, Path: put, Method: http.MethodPut, After: 1})
	d.wait(6 * time.Minute)
	release()
}

// closeDestination takes the right to write away until the first try has arrived.
func closeDestination(d *desk) {
	d.wait(time.Minute)
	d.portal.SetMember(d.dest, d.robot, portalsim.Read)
	d.wait(170 * time.Second)
	// What runs is checked when its turn comes: the right must be back before that.
	d.portal.SetMember(d.dest, d.robot, portalsim.RoomManager)
}

// TestTheSecondOfTwoSameNamedOverwritesArrives sends the second file while the first one's copy
// is young enough to be taken for it.
func TestTheSecondOfTwoSameNamedOverwritesArrives(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]portalsim.FaultKind{"not accepted": portalsim.Reset, "answer lost": portalsim.LoseAnswer} {
		for _, action := range []event.Action{event.Copy, event.Move} {
			t.Run(fmt.Sprint(action, ", ", name), func(t *testing.T) {
				t.Parallel()
				simulate(t, deskOptions{dispatch: dispatch.Options{SweepEvery: 100 * time.Millisecond}}, func(d *desk) {
					d.action, d.conflict = action, event.Overwrite
					below := d.portal.AddFolder(d.room, "B", d.client)
					d.portal.Inject(portalsim.Fault{Kind: fault, Path: put, Method: http.MethodPut, After: 1, Times: 1})
					d.start()
					d.upload("x.pdf", 1)
					for d.open() > 0 {
						d.wait(100 * time.Millisecond)
					}
					id := d.portal.Upload(below, "x.pdf", 2, d.client)
					d.transfer(event.File, id, "x.pdf", d.now())
					d.rest(time.Hour)
					d.wantTitles("x.pdf")
					if e := d.portal.List(d.dest)[0]; e.Size != 2 || e.Version != 2 {
						t.Errorf("the destination holds version %d of %d bytes, want version 2 of 2", e.Version, e.Size)
					}
					if n := len(d.portal.Operations()); n != 2 {
						t.Errorf("%d operations were started, want 2", n)
					}
					d.wantStates(map[event.State]int{event.Done: 2})
				})
			})
		}
	}
}

// TestALostOperationIsNotCreditedWithAnotherLanesWork loses an operation while another lane puts
// a file of the same title into the same destination.
func TestALostOperationIsNotCreditedWithAnotherLanesWork(t *testing.T) {
	t.Parallel()
	o := deskOptions{portal: portalsim.Options{Timings: portalsim.Timings{ItemDuration: 30 * time.Second}}}
	simulate(t, o, func(d *desk) {
		d.portal.Inject(portalsim.Fault{Kind: portalsim.LoseOperation, Times: 1})
		d.upload("Contract.pdf", 1)
		d.start()
		d.wait(5 * time.Second)
		// The other lane's operation goes on for a while after it has made its Contract.pdf.
		d.conflict = event.Overwrite
		below := d.portal.AddFolder(d.room, "B", d.client)
		for i, title := range []string{"Contract.pdf", "Plan.pdf", "Sketch.pdf"} {
			d.transfer(event.File, d.portal.Upload(below, title, int64(10+i), d.client), title, d.now())
		}
		d.rest(time.Hour)
		d.wantStates(map[event.State]int{event.Done: 4})
		versions := 0
		for _, e := range d.portal.List(d.dest) {
			if strings.HasPrefix(e.Title, "Contract") {
				versions += e.Version
			}
		}
		if versions != 2 {
			t.Errorf("%d versions of Contract.pdf arrived, want both files: %v", versions, d.portal.List(d.dest))
		}
	})
}

// TestATriedTransferEndsWithItsDestination deletes the destination of transfers that were sent
// once and came to nothing: before the second try the destination is looked into.
func TestATriedTransferEndsWithItsDestination(t *testing.T) {
	t.Parallel()
	simulate(t, deskOptions{}, func(d *desk) {
		d.portal.Inject(portalsim.Fault{Kind: portalsim.LoseOperation, Times: 1})
		limit := d.portal.Inject(portalsim.Fault{Kind: portalsim.RateLimit, Path: put, Method: http.MethodPut, After: 1})
		d.uploads(3)
		d.start()
		d.wait(10 * time.Minute)
		d.portal.DeleteFolder(d.dest, d.owner)
		limit()
		d.rest(time.Hour)
		d.wantStates(map[event.State]int{event.Failed: 3})
		for _, tr := range d.transfers() {
			if !strings.Contains(tr.Reason, "does not exist") {
				t.Errorf("%s failed because %q, want the missing destination as the reason", tr.Title, tr.Reason)
			}
		}
	})
}

// addTree makes a folder with files and a folder below it in the client's room.
func (d *desk) addTree(files int) (top, below portalsim.ID) {
	top = d.portal.AddFolder(d.room, "Project", d.client)
	below = d.portal.AddFolder(top, "Drawings", d.client)
	for i := range files {
		d.portal.AddFile([]portalsim.ID{top, below}[i%2], portalsim.File{Title: fmt.Sprintf("Sheet %03d.pdf", i), Size: 10, By: d.client})
	}
	return top, below
}

// TestAFolderThatCannotBeCopiedWholeIsNotDone copies a folder with a file that DocSpace takes
// nowhere: all the others arrive, once, and the transfer says what is missing.
func TestAFolderThatCannotBeCopiedWholeIsNotDone(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]*portalsim.Fault{
		"the error is told":                     nil,
		"a later success erases the error":      {Kind: portalsim.LoseError},
		"the answer is lost":                    {Kind: portalsim.LoseAnswer, Path: put, Times: 1},
		"the operation is over within the call": {Kind: portalsim.FinishInCall},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := deskOptions{
				portal:   portalsim.Options{MaxFileSize: 1000},
				dispatch: dispatch.Options{RetryFor: time.Hour, SweepEvery: time.Minute},
			}
			simulate(t, o, func(d *desk) {
				if fault != nil {
					d.portal.Inject(*fault)
				}
				top, below := d.addTree(6)
				d.portal.AddFile(below, portalsim.File{Title: "Large.mp4", Size: 5000, By: d.client})
				d.wait(10 * time.Second)
				d.transfer(event.Folder, top, "Project", d.now())
				d.start()
				d.rest(3 * time.Hour)
				d.wantTitles("Project")
				if n := len(d.portal.Tree(d.dest)); n != 8 {
					t.Errorf("%d entries in the destination, want both folders and six files", n)
				}
				if tr := d.only(); tr.State != event.Failed || !strings.Contains(tr.Reason, `lacks "Large.mp4"`) {
					t.Errorf("the transfer is %s (%q), want it failed because the copy lacks Large.mp4", tr.State, tr.Reason)
				}
			})
		})
	}
}

// TestAFolderCopiedInPartIsCompleted lets operations that copy a folder break off. What was
// copied stays as it is, and the rest is sent after it.
func TestAFolderCopiedInPartIsCompleted(t *testing.T) {
	t.Parallel()
	const files = 12
	for name, faults := range map[string][]portalsim.Fault{
		"nothing is done":             {{Kind: portalsim.Expire, Undone: true, Times: 1}},
		"an empty folder is left":     {{Kind: portalsim.Expire, Times: 1}},
		"dropped among its files":     {{Kind: portalsim.Expire, Within: 3, Times: 1}},
		"dropped twice":               {{Kind: portalsim.Expire, Within: 2, Times: 1}, {Kind: portalsim.Expire, Item: 2, Times: 1}},
		"dropped in a folder below":   {{Kind: portalsim.Expire, Within: 10, Times: 1}},
		"the rest is unanswered":      {{Kind: portalsim.Expire, Within: 3, Times: 1}, {Kind: portalsim.LoseAnswer, Path: put, After: 1, Times: 2}},
		"the rest is refused":         {{Kind: portalsim.Expire, Within: 3, Times: 1}, {Kind: portalsim.Refuse, Message: "Something went wrong", Path: put, After: 1, Times: 2}},
		"the answer is lost, in part": {{Kind: portalsim.LoseAnswer, Path: put, Times: 1}, {Kind: portalsim.Expire, Within: 5, Times: 1}},
	} {
		for _, conflict := range []event.Conflict{event.Duplicate, event.Skip, event.Overwrite} {
			t.Run(name+", "+string(conflict), func(t *testing.T) {
				t.Parallel()
				o := deskOptions{portal: portalsim.Options{Timings: portalsim.Timings{ItemDuration: time.Second}}}
				simulate(t, o, func(d *desk) {
					d.conflict = conflict
					for _, fault := range faults {
						d.portal.Inject(fault)
					}
					top, below := d.addTree(files)
					deeper := d.portal.AddFolder(below, "Details", d.client)
					d.portal.AddFile(deeper, portalsim.File{Title: "Screw.pdf", Size: 10, By: d.client})
					d.wait(10 * time.Second)
					d.transfer(event.Folder, top, "Project", d.now())
					d.start()
					d.rest(3 * time.Hour)
					d.wantTitles("Project")
					titles := map[string]int{}
					for _, e := range d.portal.Tree(d.dest) {
						titles[e.Title]++
						if e.Kind == portalsim.KindFile && e.Version != 1 {
							t.Errorf("%s has %d versions, want 1", e.Title, e.Version)
						}
					}
					if len(titles) != files+4 {
						t.Errorf("the destination holds %v, want %d titles", titles, files+4)
					}
					for title, n := range titles {
						if n != 1 {
							t.Errorf("%s is there %d times, want once", title, n)
						}
					}
					if tr := d.only(); tr.State != event.Done || tr.ResultTitle != "Project" {
						t.Errorf("the transfer is %s (%q) with result %q, want it done", tr.State, tr.Reason, tr.ResultTitle)
					}
				})
			})
		}
	}
}

// TestAFolderIsDoneWhenAllOfItIsThere loses the answer of a copy that takes longer than the
// gateway waits for signs of life.
func TestAFolderIsDoneWhenAllOfItIsThere(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(d *desk, top portalsim.ID){
		"nothing changes": func(*desk, portalsim.ID) {},
		"the source is deleted after it was copied": func(d *desk, top portalsim.ID) {
			d.portal.Delete(portalsim.KindFolder, top, d.owner)
		},
		"the source grows after it was copied": func(d *desk, top portalsim.ID) {
			d.portal.Upload(top, "Later.pdf", 10, d.client)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const files = 160
			o := deskOptions{portal: portalsim.Options{Timings: portalsim.Timings{ItemDuration: time.Second}}}
			simulate(t, o, func(d *desk) {
				d.portal.Inject(portalsim.Fault{Kind: portalsim.LoseAnswer, Path: put, Times: 1})
				top, _ := d.addTree(files)
				d.wait(10 * time.Second)
				d.transfer(event.Folder, top, "Project", d.now())
				d.start()
				changed := false
				for d.open() > 0 {
					tree := d.portal.Tree(d.dest)
					if len(tree) == files+2 && !changed {
						changed = true
						change(d, top)
					}
					if d.only().State == event.Done && len(tree) < files+2 {
						t.Fatalf("done with %d of %d entries in the destination", len(tree), files+2)
					}
					switch {
					case len(tree) < files-10:
						d.wait(5 * time.Second)
					case changed:
						d.wait(time.Second)
					default:
						d.wait(20 * time.Millisecond) // so that the gateway does not look in between
					}
				}
				d.wantTitles("Project")
				d.wantCalls(1)
				if n := len(d.portal.Tree(d.dest)); n != files+2 {
					t.Errorf("%d entries in the destination, want %d", n, files+2)
				}
				if tr := d.only(); tr.State != event.Done {
					t.Errorf("the transfer is %s (%q), want done", tr.State, tr.Reason)
				}
			})
		})
	}
}

func TestALostAnswerMakesNoDoubleInThirdPartyStorage(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"drive", "dropbox"} {
		for _, kind := range []portalsim.FaultKind{portalsim.LoseAnswer, portalsim.Reset} {
			t.Run(fmt.Sprint(provider, " ", kind), func(t *testing.T) {
				t.Parallel()
				simulate(t, deskOptions{}, func(d *desk) {
					d.dest = d.portal.AddThirdPartyRoom(portalsim.Room{
						Title: "Elsewhere", Owner: d.owner, Members: map[portalsim.UserID]portalsim.Access{d.robot: portalsim.RoomManager},
					}, portalsim.ThirdParty{Provider: provider, Account: 12, Owner: d.owner})
					d.portal.Inject(portalsim.Fault{Kind: kind, Path: put, Times: 1})
					want := d.uploads(5)
					d.start()
					d.rest(time.Hour)
					d.wantTitles(want...)
					d.wantStates(map[event.State]int{event.Done: 5})
				})
			})
		}
	}
}

func TestALostAnswerMakesNoDoubleWhateverThePortalsClockShows(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-24 * time.Hour, -5 * time.Minute, 5 * time.Minute, 24 * time.Hour} {
		for _, lost := range []portalsim.FaultKind{portalsim.LoseAnswer, portalsim.Reset} {
			t.Run(fmt.Sprintf("%s, fault %d", skew, lost), func(t *testing.T) {
				t.Parallel()
				simulate(t, deskOptions{portal: portalsim.Options{ClockSkew: skew}}, func(d *desk) {
					d.portal.AddFile(d.dest, portalsim.File{Title: "File 0001.pdf", Size: 1, By: d.robot})
					d.wait(time.Minute)
					d.portal.Inject(portalsim.Fault{Kind: lost, Path: put, Times: 1})
					for i := range 4 {
						title := fmt.Sprintf("File %04d.pdf", i)
						d.transfer(event.File, d.portal.Upload(d.room, title, 100, d.client), title, d.now().Add(skew))
					}
					d.start()
					d.rest(time.Hour)
					d.wantTitles("File 0000.pdf", "File 0001.pdf", "File 0001 (1).pdf", "File 0002.pdf", "File 0003.pdf")
					d.wantStates(map[event.State]int{event.Done: 4})
				})
			})
		}
	}
}

// TestAnUndatedDeliveryFromAPortalWhoseClockIsAhead is about deliveries that say nothing of
// their time, so that the gateway's clock stands in: the file only seems younger than its event.
func TestAnUndatedDeliveryFromAPortalWhoseClockIsAhead(t *testing.T) {
	t.Parallel()
	for name, title := range map[string]string{"the title is asked for": "", "nothing need be asked": `,"title":"a.pdf"`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, portalsim.Options{ClockSkew: time.Hour})
			w.writeRules(strings.Replace(rule("uploads", w.room, w.dest), "{room: ", "{subfolders: false, room: ", 1))
			w.run()
			w.portal.Inject(portalsim.Fault{Kind: portalsim.Reset, Path: put, Method: http.MethodPut, Times: 1})
			id := w.portal.Upload(w.room, "a.pdf", 10, w.client)
			body := fmt.Appendf(nil, `{"data":{"fileId":%s,"folderId":%s%s}}`, id, w.room, title)
			if code, answer := w.deliver(body, event.Sign(body, secret)); code != http.StatusOK {
				t.Fatalf("answered %d %s", code, answer)
			}
			w.wantTitles(w.dest, "a.pdf")
		})
	}
}

// TestTitlesThatDocSpaceChangesAreRecognised copies files whose titles DocSpace would not store
// today: their copies have others.
func TestTitlesThatDocSpaceChangesAreRecognised(t *testing.T) {
	t.Parallel()
	for _, action := range []event.Action{event.Copy, event.Move} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			simulate(t, deskOptions{}, func(d *desk) {
				d.action = action
				d.portal.Inject(portalsim.Fault{Kind: portalsim.LoseAnswer, Path: put, Times: 1})
				titles := []string{`Q1: "plan"?.PDF`, "\U0001F600 party.pdf", "a/b\\c.pdf", "two__marks.pdf"}
				for _, title := range titles {
					d.transfer(event.File, d.portal.AddFile(d.room, portalsim.File{Title: title, Size: 10, By: d.client}), title, d.now())
				}
				d.start()
				d.rest(time.Hour)
				if n := len(d.portal.List(d.dest)); n != len(titles) {
					t.Errorf("the destination holds %d files, want %d", n, len(titles))
				}
				d.wantCalls(1)
				d.wantStates(map[event.State]int{event.Done: len(titles)})
			})
		})
	}
}
