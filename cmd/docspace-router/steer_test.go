package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os/user"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"docspace-router/internal/admin"
	"docspace-router/internal/admin/names"
	"docspace-router/internal/event"
)

// A reason is as long as the width allows: what a transfer waits for stands at its end.
func TestTablesFillTheTerminal(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("why ", 50) + "end"
	for _, tt := range []struct{ width, want int }{{80, 80}, {120, 120}, {0, len("7   ") + len(long)}} {
		var out bytes.Buffer
		table := newTable(&out, "ID", "WHY")
		table.width = tt.width
		table.row("7", printable(long))
		if err := table.end(); err != nil {
			t.Fatal(err)
		}
		_, row, _ := strings.Cut(out.String(), "\n")
		if n := utf8.RuneCountInString(strings.TrimSuffix(row, "\n")); n != tt.want {
			t.Errorf("width %d: a row of %d characters, want %d: %q", tt.width, n, tt.want, row)
		}
	}
}

func TestPipedTransfersAreNotCut(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	rule, title, why := "a-rule-of-quite-a-long-name", "The contract of a client with a long name.pdf", "the portal answered: the destination folder is not there any more"
	err := printTransfers(environment{stdout: &out, stderr: &errs}, []admin.Transfer{
		{
			ID: 4, CreatedAt: time.Now(), State: event.Failed, Rule: rule, Title: title, Reason: why + "\n\x1b[2J",
			Source: "10", SourceTitle: "Client with a long name", Destination: "20",
		},
	}, false)
	if err != nil || !strings.Contains(out.String(), rule+"  Client with a long name  20  "+title+"  "+why) || strings.Contains(out.String(), "\x1b") || errs.Len() > 0 {
		t.Errorf("%v\n%s%s", err, out.String(), errs.String())
	}
}

func TestTransfersFitTheTerminal(t *testing.T) {
	t.Parallel()
	held := time.Now().Add(48 * time.Hour)
	long := admin.Transfer{
		ID: 12345, CreatedAt: time.Now(), State: event.Queued, Rule: "a-rule-of-quite-a-long-name", Title: "The contract of a client with a long name.pdf",
		SourceTitle: "The room of a client", Destination: "1234567890", HeldUntil: &held, HeldBy: "rule copies is paused by Ann: audit",
	}
	for width, want := range map[int]string{
		120: "a-rule-of-q…  The room of …  1234567890  The contract of a c…  held until " + held.Format("01-02 15:04"),
		80:  "a-rule-of-quite…  The contract of a clien…",
	} {
		var out bytes.Buffer
		table := newTable(&out)
		table.width = width
		fillTransfers(table, []admin.Transfer{long})
		if err := table.end(); err != nil {
			t.Fatal(err)
		}
		head, row, _ := strings.Cut(out.String(), "\n")
		if n := utf8.RuneCountInString(row) - 1; !strings.Contains(row, want) || n > width {
			t.Errorf("width %d: a row of %d characters, want %q in it:\n%s", width, n, want, out.String())
		}
		if zone := "CREATED (" + time.Now().Format("MST") + ")"; !strings.Contains(head, zone) || strings.Contains(head, "FROM") != (width == 120) {
			t.Errorf("width %d: the head is %q", width, head)
		}
	}
}

func TestAHeldTransferSaysUntilWhen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for length, layout := range map[time.Duration]string{time.Minute: "15:04", 48 * time.Hour: "01-02 15:04"} {
			until := time.Now().Add(length)
			tr := admin.Transfer{State: event.Queued, Reason: "what the last attempt met", HeldUntil: &until, HeldBy: "rule copies is paused by Ann: audit"}
			if got, want := waitsFor(tr), "held until "+until.Format(layout)+": rule copies is paused by Ann: audit"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	})
}

func TestTheQuestionNamesTheRooms(t *testing.T) {
	t.Parallel()
	rooms := []names.Place{{Portal: "acme", ID: "10", Name: "Client A"}, {Portal: "acme", ID: "11", Name: "Client A archive"}}
	for _, tt := range []struct {
		scope   admin.ManyScope
		counted admin.ManyResult
		want    string
	}{
		{admin.ManyScope{Rule: "copies"}, admin.ManyResult{Matched: 1}, "retry of 1 transfer."},
		{admin.ManyScope{Room: "client"}, admin.ManyResult{Matched: 3, Rooms: rooms}, "retry of 3 transfers from or to Client A (10), Client A archive (11)."},
		{admin.ManyScope{Room: "10"}, admin.ManyResult{Matched: 3}, "retry of 3 transfers from or to 10."},
		{admin.ManyScope{Room: "c"}, admin.ManyResult{Matched: 3, Rooms: rooms[:1], Note: "More than 20."}, "retry of 3 transfers from or to Client A (10). More than 20."},
	} {
		if got := question("retry", tt.scope, tt.counted); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.scope, got, tt.want)
		}
	}
}

func TestManyAreChangedOnlyWithAYes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ input, want string }{
		{"y\n", ""},
		{"YES", ""},
		{"n\n", "nothing was done"},
		{"\n", "nothing was done"},
		{"", "no terminal to ask on: give --yes"},
	} {
		var errs bytes.Buffer
		err := confirm(environment{stdin: strings.NewReader(tt.input), stderr: &errs}, false, "retry of 3 transfers.")
		if got := errorText(err); got != tt.want {
			t.Errorf("answer %q: error %q, want %q", tt.input, got, tt.want)
		}
		if !strings.HasPrefix(errs.String(), "retry of 3 transfers. Go on? [y/N] ") {
			t.Errorf("asked %q", errs.String())
		}
	}
}

func TestWhatChangesSomethingSaysWho(t *testing.T) {
	t.Parallel()
	var asked atomic.Pointer[http.Request]
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r)
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(gateway.Close)
	for _, command := range []string{
		"pause rule/copies --for 2h --reason audit", "resume rule/copies", "transfers retry 4", "transfers cancel 4", "events replay 4",
		"backfill --rule copies --detach", "backfill cancel 4",
	} {
		for option, want := range map[string]string{"": "ann", "--author=Bea": "Bea"} {
			args := append(strings.Fields(command), "--admin", gateway.URL)
			if option != "" {
				args = append(args, option)
			}
			var errs bytes.Buffer
			env := environment{args: args, stdin: strings.NewReader(""), stdout: io.Discard, stderr: &errs, lookup: variable("USER", "ann")}
			if code := run(t.Context(), env); code != exitOK {
				t.Errorf("%s: exit status %d: %s", command, code, &errs)
			}
			if got := asked.Load().Header.Get("X-Author"); got != want {
				t.Errorf("%s %s is done by %q, want %q", command, option, got, want)
			}
		}
	}
}

func variable(name, value string) func(string) (string, bool) {
	return func(asked string) (string, bool) { return value, asked == name }
}

func TestAuthor(t *testing.T) {
	t.Parallel()
	account, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, value, want string }{
		{"LOGNAME", " Ann ", "Ann"},
		{"USER", "a\nb", account.Username},
		{"USER", strings.Repeat("x", longestAuthor+1), account.Username},
		{"HOME", "/", account.Username},
	} {
		if got := new(authorFlag).of(environment{lookup: variable(tt.name, tt.value)}); got != tt.want {
			t.Errorf("%s=%q: author %q, want %q", tt.name, tt.value, got, tt.want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestWhatBecameOfManyTransfers(t *testing.T) {
	t.Parallel()
	refused := []admin.Refusal{{ID: 7, Reason: "it is done"}}
	for _, tt := range []struct {
		action string
		done   admin.ManyResult
		want   string
	}{
		{"cancel", admin.ManyResult{Acted: 1}, "1 transfer cancelled"},
		{"retry", admin.ManyResult{Acted: 2, Refused: refused}, "2 transfers queued again"},
		{"retry", admin.ManyResult{Refused: refused}, "nothing was retried"},
		{"cancel", admin.ManyResult{}, "nothing was cancelled: the transfers have changed meanwhile"},
	} {
		if got := outcome(tt.action, tt.done); got != tt.want {
			t.Errorf("%s %+v: %q, want %q", tt.action, tt.done, got, tt.want)
		}
	}
}
