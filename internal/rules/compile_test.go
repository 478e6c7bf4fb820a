package rules

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompileReportsMistakesInExpressions(t *testing.T) {
	t.Parallel()
	file, folder := []string{"file.uploaded"}, []string{"folder.created"}
	both := []string{"file.uploaded", "folder.created"}
	for name, c := range map[string]struct {
		triggers []string
		when     string
		want     []string
	}{
		"an unknown field":             {file, `file.titel == "x"`, []string{"1:6: unknown name titel, did you mean title?"}},
		"an unknown field deeper down": {file, `file.created_by.mail == ""`, []string{"1:17: unknown name mail, did you mean email?"}},
		"an unknown field in brackets": {file, `file["titel"] == "x"`, []string{"1:6: unknown name titel, did you mean title?"}},
		"an unknown field after ?.":    {file, `file?.titel == "x"`, []string{"1:7: unknown name titel, did you mean title?"}},
		"a field in another style":     {file, `file.createdOn == now`, []string{"1:6: unknown name createdOn, did you mean created_on?"}},
		"a shortened field":            {file, `file.ext == "pdf"`, []string{"1:6: unknown name ext, did you mean extension?"}},
		"an unknown variable":          {file, `flie.title == "x"`, []string{"1:1: unknown name flie, did you mean file?"}},
		"a name like nothing":          {file, `quux == 1`, []string{"1:1: unknown name quux, if it is a text, put it in quotes: \"quux\""}},
		"the whole environment":        {file, `$env.portal == ""`, []string{"1:1: unknown name $env"}},
		"the hidden step function":     {file, `__step()`, []string{"1:1: unknown function __step"}},
		"an unknown function":          {file, `glub("*", file.title)`, []string{"1:1: unknown function glub, did you mean glob?"}},
		"a misspelt built-in":          {file, `lover(file.title) == "x"`, []string{"1:1: unknown function lover, did you mean lower?"}},
		"a value that is called":       {file, `now() > event.created_on`, []string{"1:1: now is a value, not a function, write now without ()"}},
		"a function that is not":       {file, `glob == "x"`, []string{"1:1: glob is a function, call it: glob(…)"}},
		"a folder in a rule for files": {file, `folder.id == "1"`, []string{"1:1: folder is not there for file triggers, use file; the folder it lies in is file.folder_id"}},
		"a file in a rule for folders": {folder, `file.id == "1"`, []string{"1:1: file is not there for folder triggers, use folder"}},
		"a file in a rule for both": {both, `file.id == "1"`, []string{
			"1:1: file is not there for every trigger of this rule, which has triggers of files and of folders, split the rule in two, one for file.* and one for folder.*",
		}},
		"what both have is fine":          {both, `room.id == "1" && payload.id == 1`, nil},
		"an id compared with a number":    {file, `file.id == 12`, []string{`1:12: file.id is text and never equals a number, write "12" with quotes`}},
		"a number compared with an id":    {file, `12 != room.id`, []string{`1:1: room.id is text and never equals a number, write "12" with quotes`}},
		"an id in a list of numbers":      {file, `room.id in ["1", 2]`, []string{`1:18: room.id is text and never equals a number, write "2" with quotes`}},
		"a result that is text":           {file, `file.title`, []string{"1:1: a condition must be true or false, but this is text"}},
		"a part that is a number":         {file, `file.is_form && file.size`, []string{"1:17: a condition must be true or false, but this is a number"}},
		"text compared with a number":     {file, `file.title > 1`, []string{"1:12: invalid operation: > (mismatched types text and a number)"}},
		"a wrong argument":                {file, `glob(1, file.title)`, []string{"1:6: cannot use int as argument (type string) to call glob"}},
		"an unknown method":               {file, `event.created_on.Jear() == 1`, []string{"1:18: type time has no method Jear"}},
		"a bad regular expression":        {file, `file.title matches "("`, []string{"1:12: error parsing regexp: missing closing ): `(`"}},
		"an expression that breaks off":   {file, `file.size <`, []string{"1:11: the expression ends too early"}},
		"two values in a row":             {file, `file.title "x"`, []string{`1:12: unexpected "x"`}},
		"an unclosed quote":               {file, `file.title == "x`, []string{"1:17: a quote is not closed"}},
		"only spaces":                     {file, `  `, []string{"1:1: the expression is empty, leave it out to match always"}},
		"a mistake in the second line":    {file, "file.size > 1 &&\n  file.siz < 2", []string{"2:8: unknown name siz, did you mean size?"}},
		"several mistakes, all reported":  {file, `file.titel == "x" && rom.id == "1"`, []string{"1:6: unknown name titel, did you mean title?", "1:22: unknown name rom, did you mean room?"}},
		"an expression that is too long":  {file, strings.Repeat("(", maxExpression+1), []string{"1:1: the expression is longer than 32768 bytes"}},
		"an expression with many nodes":   {file, "trigger in [" + strings.Repeat("1,", 12_000) + "1]", []string{"1:20012: compilation failed: expression exceeds maximum allowed nodes"}},
		"thousands of brackets":           {file, strings.Repeat("(", 16_000) + "true" + strings.Repeat(")", 16_000), nil},
		"let makes a name":                {file, `let x = file.title; x == "a"`, nil},
		"a name used before let makes it": {file, `x == "a" && (let x = 1; x == 1)`, []string{"1:1: unknown name x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, errs := Compile([]Spec{ruleSpec("a", triggers(c.triggers...), when(c.when))})
			var got []string
			for _, e := range errs {
				if e.Rule != 0 || e.Name != "a" || e.Field != "when" {
					t.Errorf("error is about %d %s %s", e.Rule, e.Name, e.Field)
				}
				text, ok := strings.CutPrefix(e.Error(), "rule a: when:")
				if !ok {
					t.Errorf("Error() = %q", e.Error())
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCompileReportsEveryRule(t *testing.T) {
	t.Parallel()
	table, errs := Compile([]Spec{
		ruleSpec("a", when("nope")), ruleSpec("b"), ruleSpec("c", when("nope"), isDisabled),
	})
	if table != nil {
		t.Error("a table was made")
	}
	want := []SpecError{
		{Rule: 0, Name: "a", Field: "when", Line: 1, Column: 1, Message: "unknown name nope", Hint: `if it is a text, put it in quotes: "nope"`},
		{Rule: 2, Name: "c", Field: "when", Line: 1, Column: 1, Message: "unknown name nope", Hint: `if it is a text, put it in quotes: "nope"`},
	}
	if diff := cmp.Diff(want, errs); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

// The name check and the environment are two lists of the same names.
func TestNamesAgreeWithEnvironment(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	var collect func(prefix string, typ reflect.Type)
	collect = func(prefix string, typ reflect.Type) {
		for i := range typ.NumField() {
			name := typ.Field(i).Tag.Get("expr")
			switch {
			case name == "":
				t.Errorf("%s has no tag", typ.Field(i).Name)
			case name == "__step":
			case typ.Field(i).Type.PkgPath() == typ.PkgPath():
				known[prefix+name] = false
				collect(prefix+name+".", typ.Field(i).Type)
			default:
				known[prefix+name] = true
			}
		}
	}
	collect("", reflect.TypeFor[env]())
	want := map[string]bool{}
	for name := range leaves {
		want[name] = true
	}
	for name, uses := range branches {
		want[name] = false
		var below fact
		for leaf, f := range leaves {
			if strings.HasPrefix(leaf, name+".") {
				below |= f
			}
		}
		if uses != below {
			t.Errorf("branch %s rests on %b, its leaves on %b", name, uses, below)
		}
	}
	if diff := cmp.Diff(want, known); diff != "" {
		t.Errorf("names (-listed +in env):\n%s", diff)
	}
}

func TestRulesDescribesEveryRule(t *testing.T) {
	t.Parallel()
	a, b := ruleSpec("a", isDisabled), ruleSpec("b", when("true"))
	table := compile(t, a, b)
	if diff := cmp.Diff([]Info{{a, 1}, {b, 2}}, table.Rules()); diff != "" {
		t.Errorf("Rules (-want +got):\n%s", diff)
	}
	if table.Len() != 2 {
		t.Errorf("Len = %d", table.Len())
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything at all", true},
		{"?", "", false},
		{"?", "ü", true},
		{"Client *", "Client Ärzte", true},
		{"client *", "CLIENT A", true},
		{"Client *", "Clients", false},
		{"*.pdf", "a.b.PDF", true},
		{"*.pdf", "a.pdf.docx", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"**a**", "a", true},
		{"[a]", "[a]", true},
		{"[a]", "a", false},
		{"a?c", "abc", true},
		{"*ab", "aab", true},
		{strings.Repeat("*a", 50) + "b", strings.Repeat("a", 5000), false},
	} {
		if got := Glob(c.pattern, c.s); got != c.want {
			t.Errorf("Glob(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"copy", "move", "title", "created_on", "file.uploaded"}
	for name, want := range map[string]string{
		"mvoe": "move", "Copy": "copy", "titel": "title", "createdOn": "created_on", "file.uploade": "file.uploaded",
		"cop": "copy", "x": "", "": "", "nothing": "", "_": "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		`file.extension in ["pdf", "docx"] && file.size < 50 * MB`,
		`glob("*", file.title) or not (room.id == "1")`,
		`let x = payload.a?.b ?? 1; any(room.tags, # == "x") ? true : x > 1`,
		"any(1..9, all(1..9, # < 3)) |> string() == 'true'",
		"reduce([1,2], #acc + #, 0) == 3 and {\"a\": 1}.a == 1",
		"file[room.id]; true", "if true { false } else { true }", "map(filter([1], # > 0), #) == [1]",
		"#", "((", "\"\\xff", "now - duration('1h') < now && b'x' == b'y'",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		if strings.Contains(expression, "repeat") || strings.Contains(expression, "**") {
			t.Skip("long runs, not wrong ones")
		}
		table, errs := Compile([]Spec{ruleSpec("a", when(expression))})
		lines := strings.Count(expression, "\n") + 1
		for _, e := range errs {
			if e.Line < 1 || e.Line > lines || e.Column < 1 || e.Message == "" {
				t.Errorf("error without a place: %+v", e)
			}
		}
		if table == nil {
			return
		}
		facts := upload()
		table.Needs(facts)
		table.Match(facts)
		explainAgrees(t, table, facts)
		lookedUp(facts)
		explainAgrees(t, table, facts)
	})
}
