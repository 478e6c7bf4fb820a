package ruletest

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"docspace-router/internal/config"
	"docspace-router/internal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rulesText = `version: 1
portals:
  acme: {url: 'https://acme.example.com', api_key: {env: NOWHERE}, webhook_secrets: [{file: nowhere}]}
  beta: {url: 'https://beta.example.com', api_key: {env: NOWHERE}, webhook_secrets: [{file: nowhere}]}
rules:
  - {name: pdfs, portal: acme, triggers: [file.uploaded, form.submit], source: {room: 1}, when: 'file.extension == "pdf"', action: copy, destination: {folder: 20}}
  - {name: filed, portal: acme, triggers: [file.uploaded], source: {room_tag: client}, when: file.size > 1 * MB, action: copy, destination: {folder: 21, path: 'room.title + "/" + now.Format("2006-01")'}}
  - {name: outside, portal: acme, triggers: [file.created], source: {room: 1}, when: not (file.created_by.email endsWith "@acme.com"), action: move, destination: {folder: 22}}
  - {name: kinds, portal: acme, triggers: [file.updated], source: {room: 1}, when: room.type == "public", action: copy, destination: {folder: 23}, conflict: skip}
  - {name: copies, portal: acme, triggers: [file.copied], source: {folder: 3}, action: copy, destination: {folder: 24}}
  - {name: own, portal: acme, triggers: [file.moved], source: {folder: 3}, own_events: true, action: copy, destination: {folder: 25}}
  - {name: broken, portal: acme, triggers: [file.restored], source: {room: 1}, when: payload.none.deep == 1, action: copy, destination: {folder: 26}}
  - {name: folders, portal: beta, triggers: [folder.created], source: {room: 1}, when: 'folder.title startsWith "Project"', action: copy, destination: {folder: 27}}
  - {name: large, portal: beta, triggers: [file.restored], source: {room: 1}, when: 'file.size > 10 && file.extension == "pdf"', action: copy, destination: {folder: 28}}
  - {name: home, portal: beta, triggers: [file.uploaded], source: {room: 1}, action: copy, destination: {folder: 3}}
  - {name: below, portal: beta, triggers: [file.created], source: {room: 1}, action: copy, destination: {folder: 1, path: '"inbox"'}}
`

const roomsText = `version: 1
portal: acme
rooms:
  1: {title: Client A, type: public, tags: [Client], folders: {3: Inbox}}
  2: Ours
`

// delivery is a body of the present generation.
const delivery = `{"event":{"id":48213,"createOn":"2026-03-02T09:14:07Z","createBy":"6d1a","trigger":"file.uploaded"},` +
	`"payload":{"id":90412,"parentId":3,"title":"a.pdf","createBy":"6d1a","createOn":"2026-03-02T09:14:06Z","modifiedOn":"2026-03-02T09:14:06Z","fileEntryType":2},"webhook":{"id":12}}`

// try runs one test, written in one line, in a folder of its own.
func try(t *testing.T, text string) Result {
	t.Helper()
	results := runAll(t, "tests:\n  - {name: it, "+text+"}\n")
	return results[0]
}

func runAll(t *testing.T, text string) []Result {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"rules_test.yaml": roomsText + text, "a.json": delivery, "bad.json": "{", "user.json": `{"event":{"trigger":"user.created"}}`,
		"lost.json": strings.Replace(delivery, `"parentId":3`, `"parentId":33`, 1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Parse("rules.yaml", []byte(rulesText), config.Options{WithoutSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	tests, err := config.LoadTests(filepath.Join(dir, "rules_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return Run(t.Context(), c, tests)
}

func TestTestsThatPass(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a copy":                            `given: {file: {title: a.pdf, size: 1}, in: 1}, expect: [{action: copy, to: 20}]`,
		"nothing":                           `given: {file: {title: a.docx, size: 1 KB}, in: 1}, expect: none`,
		"nothing, whatever the size":        `given: {portal: beta, trigger: file.restored, file: a.exe, in: 1}, expect: none`,
		"two rules, in any order":           `given: {file: {title: a.pdf, size: 2 MB}, in: 3, at: 2026-03-02}, expect: [{action: copy, to: 21, path: Client A/2026-03}, {action: copy, to: 20, rule: pdfs, conflict: duplicate}]`,
		"a person":                          `given: {trigger: file.created, file: a.pdf, in: 1, by: ana@else.com}, expect: [{action: move, to: 22}]`,
		"a person of ours":                  `given: {trigger: file.created, file: a.pdf, in: 1, by: {email: ana@acme.com}}, expect: none`,
		"a type of room":                    `given: {trigger: file.updated, file: a.pdf, in: 3}, expect: [{action: copy, to: 23, conflict: skip}]`,
		"a room that no rule is about":      `given: {file: a.pdf, in: 2}, expect: none`,
		"a form":                            `given: {trigger: form.submit, file: a.pdf, in: 1}, expect: [{action: copy, to: 20, rule: pdfs}]`,
		"a copy by a person":                `given: {trigger: file.copied, file: a.pdf, in: 3, by: ana@acme.com}, expect: [{action: copy, to: 24}]`,
		"a copy by the gateway":             `given: {trigger: file.copied, file: a.pdf, in: 3, by: gateway}, expect: none`,
		"a move by the gateway, wanted":     `given: {trigger: file.moved, file: a.pdf, in: 3, by: gateway}, expect: [{action: copy, to: 25}]`,
		"another portal":                    `given: {portal: beta, folder: Project X, in: 1}, expect: [{action: copy, to: 27}]`,
		"a body with what it does not say":  `given: {body: a.json, file: {size: 1 KB}}, expect: [{action: copy, to: 20}]`,
		"what is there already":             `given: {portal: beta, file: a.pdf, in: 3}, expect: none`,
		"what is not there yet":             `given: {portal: beta, file: a.pdf, in: 1}, expect: [{action: copy, to: 3}]`,
		"a path that leads where it is":     `given: {portal: beta, trigger: file.created, file: a.pdf, in: 3}, expect: none`,
		"a path that leads elsewhere":       `given: {portal: beta, trigger: file.created, file: a.pdf, in: 1}, expect: [{action: copy, to: 1, path: inbox}]`,
		"a portal of the file, not of this": `given: {portal: beta, folder: Other, in: 1}, expect: none`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := try(t, text); !r.Passed() {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestTestsThatFail(t *testing.T) {
	t.Parallel()
	transfer := func(rule string, action event.Action, to event.ID, path string) Transfer {
		return Transfer{Rule: rule, Action: action, Conflict: event.Duplicate, To: to, Path: path}
	}
	for name, tt := range map[string]struct {
		text       string
		missing    []string // rule and the condition that failed
		unexpected []Transfer
	}{
		"another destination": {
			`given: {file: {title: a.pdf, size: 1}, in: 1}, expect: [{action: copy, to: 99, rule: pdfs}]`,
			[]string{"pdfs "}, []Transfer{transfer("pdfs", event.Copy, "20", "")},
		},
		"another action": {
			`given: {file: {title: a.pdf, size: 1}, in: 1}, expect: [{action: move, to: 20}]`,
			[]string{" "}, []Transfer{transfer("pdfs", event.Copy, "20", "")},
		},
		"another policy": {
			`given: {file: {title: a.pdf, size: 1}, in: 1}, expect: [{action: copy, to: 20, conflict: skip}]`,
			[]string{" "}, []Transfer{transfer("pdfs", event.Copy, "20", "")},
		},
		"a path not expected": {
			`given: {file: {title: a.doc, size: 2 MB}, in: 1}, expect: [{action: copy, to: 21}]`,
			[]string{" "}, []Transfer{transfer("filed", event.Copy, "21", "Client A/2026-01")},
		},
		"a condition that fails": {
			`given: {file: {title: a.doc, size: 1}, in: 1}, expect: [{action: copy, to: 21, rule: filed}]`,
			[]string{"filed when"}, nil,
		},
		"one transfer expected twice": {
			`given: {file: {title: a.pdf, size: 1}, in: 1}, expect: [{action: copy, to: 20}, {action: copy, to: 20}]`,
			[]string{" "}, nil,
		},
		"none expected": {
			`given: {file: {title: a.pdf, size: 1}, in: 1}, expect: none`,
			nil, []Transfer{transfer("pdfs", event.Copy, "20", "")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := try(t, tt.text)
			var missing []string
			for _, m := range r.Missing {
				s := m.Rule + " "
				if m.Why != nil {
					s += m.Why.Condition
				}
				missing = append(missing, s)
			}
			if r.Passed() || r.Trouble != "" || !cmp.Equal(missing, tt.missing) || !cmp.Equal(r.Unexpected, tt.unexpected) {
				t.Errorf("trouble %q, missing %q, unexpected %+v; want %q and %+v", r.Trouble, missing, r.Unexpected, tt.missing, tt.unexpected)
			}
		})
	}
}

// A test that leaves out what the rules ask for must not pass, even when it expects nothing.
func TestWhatATestDoesNotSayIsNotGuessed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"the size":               {`given: {file: a.pdf, in: 1, by: a@b.com}, expect: none`, "the rules ask about the file: give it a size"},
		"the person":             {`given: {trigger: file.created, file: {title: a.pdf, size: 1}, in: 1}, expect: none`, "the rules ask who the file is from: say it with by"},
		"size and person":        {`given: {trigger: file.created, file: a.pdf, in: 1}, expect: none`, "give it a size, and say with by who it is from"},
		"the portal":             {`given: {portal: gamma, file: a.pdf, in: 1}, expect: none`, "the rules have no portal gamma, only acme, beta"},
		"the place of a body":    {`given: {body: lost.json}, expect: none`, "the rules ask where folder 33 is"},
		"the size of a body":     {`given: {body: a.json}, expect: none`, "give it a size"},
		"a body there is not":    {`given: {body: none.json}, expect: none`, "read the body: open "},
		"a body that is none":    {`given: {body: bad.json}, expect: none`, "body bad.json: body is not JSON"},
		"a body about no file":   {`given: {body: user.json}, expect: none`, "not about a file or folder"},
		"an expression's result": {`given: {trigger: file.restored, file: a.pdf, in: 1}, expect: none`, "rule broken: when: cannot fetch deep from"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := try(t, tt.text); r.Passed() || !strings.Contains(r.Trouble, tt.want) {
				t.Errorf("trouble %q, want %q", r.Trouble, tt.want)
			}
		})
	}
	text := strings.Replace(roomsText, "portal: acme\n", "", 1) + "tests:\n  - {name: it, given: {file: a.pdf, in: 1}, expect: none}\n"
	tests, err := config.ParseTests("t", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("rules.yaml", []byte(rulesText), config.Options{WithoutSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	if r := Run(t.Context(), c, tests)[0]; !strings.Contains(r.Trouble, "say with portal which one it happens on, one of acme, beta") {
		t.Errorf("no portal: %+v", r)
	}
}

// An expectation that fits two transfers must leave the right one to its neighbour.
func TestExpectationsArePairedAsWellAsCanBe(t *testing.T) {
	t.Parallel()
	a, b := Transfer{Rule: "a", Action: event.Copy, To: "1"}, Transfer{Rule: "b", Action: event.Copy, To: "1"}
	expect := func(rule string) config.Expected {
		return config.Expected{Action: event.Copy, To: "1", Rule: rule}
	}
	for name, tt := range map[string]struct {
		expected   []config.Expected
		got        []Transfer
		missing    int
		unexpected int
	}{
		"the open one first": {[]config.Expected{expect(""), expect("a")}, []Transfer{a, b}, 0, 0},
		"the open one last":  {[]config.Expected{expect("a"), expect("")}, []Transfer{b, a}, 0, 0},
		"a chain":            {[]config.Expected{expect(""), expect(""), expect("a")}, []Transfer{a, b, b}, 0, 0},
		"one too many":       {[]config.Expected{expect(""), expect("a"), expect("a")}, []Transfer{a, b}, 1, 0},
		"one too few":        {[]config.Expected{expect("b")}, []Transfer{a, b}, 0, 1},
		"neither":            {nil, nil, 0, 0},
	} {
		missing, unexpected := compare(tt.expected, tt.got)
		if len(missing) != tt.missing || len(unexpected) != tt.unexpected {
			t.Errorf("%s: missing %+v, unexpected %+v", name, missing, unexpected)
		}
	}
}

func TestReports(t *testing.T) {
	t.Parallel()
	results := runAll(t, `tests:
  - {name: passes, given: {file: {title: a.pdf, size: 1}, in: 1}, expect: [{action: copy, to: 20}]}
  - {name: fails & tells, given: {file: {title: a.pdf, size: 1}, in: 1}, expect: [{action: copy, to: 2, path: X, rule: filed}, {action: copy, to: 2, rule: pdf}]}
  - {name: proves nothing, given: {file: a.pdf, in: 1}, expect: none}
`)
	tests := &config.Tests{Name: "rules_test.yaml", Places: map[event.ID]*config.Place{"2": {ID: "2", Title: "Ours"}}}
	for i := range results {
		results[i].Case.At.File, results[i].Case.Given.At.File = tests.Name, tests.Name
		for j := range results[i].Missing {
			results[i].Missing[j].At.File = tests.Name
		}
	}
	files := []File{{Tests: tests, Rules: "rules.yaml", Results: results}, {Tests: &config.Tests{Name: "good_test.yaml"}, Results: results[:1]}}
	var text bytes.Buffer
	Print(&text, files)
	want := `FAIL  rules_test.yaml:8:5: fails & tells
        rules_test.yaml:8:83: expected, but does not happen: copy to room 2 "Ours", into "X" below it, by rule filed
            filed does not match: when: wants file.size > 1 * MB
            found file.size = 1
        rules_test.yaml:8:128: expected, but does not happen: copy to room 2 "Ours", by rule pdf
            there is no rule pdf, did you mean pdfs?
        happens, but was not expected: copy to folder 20, on conflict duplicate, by rule pdfs
FAIL  rules_test.yaml:9:5: proves nothing
        rules_test.yaml:9:35: the rules ask about the file: give it a size, and say with by who it is from
ok    good_test.yaml: 1 test

2 tests passed, 2 failed.
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	report := NewReport(files)
	if report.Passed != 2 || report.Failed != 2 || len(report.Files[0].Tests) != 3 ||
		report.Files[0].Tests[1].Missing[0].Why.Want != "file.size > 1 * MB" || report.Files[0].Tests[1].Unexpected[0].Rule != "pdfs" {
		t.Errorf("report %+v", report)
	}
	var junit bytes.Buffer
	if err := WriteJUnit(&junit, files); err != nil {
		t.Fatal(err)
	}
	var read junitSuites
	if err := xml.Unmarshal(junit.Bytes(), &read); err != nil {
		t.Fatalf("%v in\n%s", err, junit.String())
	}
	failed := read.Suites[0].Cases[1]
	if read.Tests != 4 || read.Failures != 2 || failed.Name != "fails & tells" || failed.Line != 8 || failed.Failure == nil ||
		!strings.Contains(failed.Failure.Text, "\nhappens, but was not expected") || read.Suites[0].Cases[0].Failure != nil {
		t.Errorf("JUnit: %+v", read)
	}
}
