package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"docspace-router/internal/admin"
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
		{ID: 4, CreatedAt: time.Now(), State: event.Failed, Rule: rule, Title: title, Reason: why + "\n\x1b[2J"},
	}, false)
	if err != nil || !strings.Contains(out.String(), rule+"  "+title+"  "+why) || strings.Contains(out.String(), "\x1b") || errs.Len() > 0 {
		t.Errorf("%v\n%s%s", err, out.String(), errs.String())
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
