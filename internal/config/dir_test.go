package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// team is a file with rules of the given names, on rooms of their own.
func team(names ...string) string {
	var b strings.Builder
	b.WriteString("version: 1\ndefaults: {triggers: [file.uploaded], action: copy, destination: {folder: 2}}\nrules:\n")
	for _, name := range names {
		fmt.Fprintf(&b, "  - {name: %s, source: {room: 1}}\n", name)
	}
	return b.String()
}

const twoPortals = `version: 1
portals:
  acme: &p {url: 'https://a.example.com', api_key: {env: DOCSPACE_API_KEY}, webhook_secrets: [{env: DOCSPACE_API_KEY}]}
  beta: *p
`

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func ruleNames(c *Config) []string {
	var names []string
	for _, r := range c.Rules.Rules() {
		names = append(names, r.Name)
	}
	return names
}

func TestADirectoryIsMergedInNameOrder(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"20-b.yaml": team("b1", "b2"), "10-a.yaml": team("a1"), "30-c.yaml": team("c1"),
		".hidden.yaml": "not: rules", "..data.yaml": "not: rules", "README.md": "# rules", "old.yaml~": "x", "notes.yml": "x",
	})
	must(t, os.Mkdir(filepath.Join(dir, "folder.yaml"), 0o700))
	c, err := Load(Options{Path: dir, LookupEnv: onePortal()})
	must(t, err)
	if got, want := ruleNames(c), []string{"a1", "b1", "b2", "c1"}; !slices.Equal(got, want) {
		t.Errorf("rules %q, want %q", got, want)
	}
	if got, want := c.Rules.Rules()[1].Origin, filepath.Join(dir, "20-b.yaml")+":4:5"; got != want {
		t.Errorf("origin %q, want %q", got, want)
	}
	var names []string
	for _, f := range c.Files {
		names = append(names, f.Name)
	}
	if want := []string{"10-a.yaml", "20-b.yaml", "30-c.yaml"}; !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
}

func TestAFileMayHoldPortalsAlone(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"portals.yaml": twoPortals,
		"rules.yaml":   strings.Replace(team("a"), "defaults: {", "defaults: {portal: acme, ", 1),
	})
	c, err := Load(Options{Path: dir, LookupEnv: onePortal()})
	must(t, err)
	if len(c.Portals) != 2 || c.Rules.Len() != 1 {
		t.Errorf("%d portals and %d rules", len(c.Portals), c.Rules.Len())
	}
	if got, want := c.Warnings.Error(), filepath.Join(dir, "portals.yaml")+":4:3: portals.beta: no enabled rule is for the portal beta"; got != want {
		t.Errorf("warnings %q, want %q", got, want)
	}
}

// What check says of a directory: every problem, each in its file.
func TestProblemsOfADirectory(t *testing.T) {
	t.Parallel()
	loop := func(name, from, to string) string {
		return fmt.Sprintf("version: 1\nrules:\n  - {name: %s, triggers: [file.copied], own_events: true, action: copy, source: {room: %s}, destination: {folder: %s}}\n", name, from, to)
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a name in two files": {
			map[string]string{"a.yaml": team("x"), "b.yaml": team("y", "x")},
			"DIR/b.yaml:5:12: rules[1].name: the name x is taken by the rule in DIR/a.yaml:4:12",
		},
		"a portal in two files": {
			map[string]string{"a.yaml": twoPortals, "b.yaml": twoPortals, "c.yaml": strings.Replace(team("x"), "defaults: {", "defaults: {portal: '*', ", 1)},
			"DIR/b.yaml:3:3: portals.acme: the portal acme is described in DIR/a.yaml:3:3 already\n" +
				"DIR/b.yaml:4:3: portals.beta: the portal beta is described in DIR/a.yaml:4:3 already",
		},
		"a loop over two files": {
			map[string]string{"a.yaml": loop("a", "1", "2"), "b.yaml": loop("b", "2", "1")},
			"DIR/b.yaml:3:52: rules[0].own_events: with own_events these rules feed each other without end: " +
				"a (DIR/a.yaml:3:5) → b (DIR/b.yaml:3:5) → a, take own_events out of one of them, or let no destination be a source",
		},
		"a portal of no file": {
			map[string]string{"a.yaml": twoPortals, "b.yaml": strings.Replace(team("x"), "defaults: {", "defaults: {portal: betta, ", 1)},
			"DIR/b.yaml:2:20: defaults.portal: unknown portal betta, did you mean beta?",
		},
		"mistakes in two files": {
			map[string]string{"a.yaml": "version: 2\nrules: []", "b.yaml": "rules: [", "c.yaml": ""},
			"DIR/a.yaml:1:10: version: must be 1, the only version there is\n" +
				"DIR/a.yaml:2:8: rules: the list is empty\n" +
				"DIR/b.yaml:1:1: this is not YAML: did not find expected node content\n" +
				"DIR/c.yaml:1:1: the file is empty, start with version: 1",
		},
		"no rules at all": {
			map[string]string{"a.yaml": twoPortals},
			"DIR/a.yaml:1:1: no file of the directory has rules, add a file with a list of rules",
		},
		"neither portals nor rules": {
			map[string]string{"a.yaml": team("x"), "b.yaml": "version: 1\n"},
			"DIR/b.yaml:1:1: rules is missing, add a list of rules",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, c.files)
			_, err := Load(Options{Path: dir, LookupEnv: onePortal()})
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(c.want, strings.ReplaceAll(err.Error(), dir, "DIR")); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// names is what a Live routes by.
func names(l *Live) string { return strings.Join(ruleNames(l.Current()), " ") }

func settles(t *testing.T, l *Live, want string, failed bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("the rules %q", want), func() bool {
		return names(l) == want && (l.Status().LastError != nil) == failed
	})
}

func TestEachFileOfADirectoryStandsForItself(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.yaml": team("a1"), "b.yaml": team("b1"), "c.yaml": team("c1")})
	at := func(name string) string { return filepath.Join(dir, name) }
	store := &kept{}
	o := fast(dir)
	o.LastGood = store
	l := newLive(t, o)
	if got := names(l); got != "a1 b1 c1" {
		t.Fatalf("rules %q", got)
	}

	// A mistake keeps that file's last good version; the others go on changing.
	write(t, at("b.yaml"), strings.ReplaceAll(team("b2"), "copy", "kopy"))
	settles(t, l, "a1 b1 c1", true)
	if s := l.Status(); !s.Partly || !strings.Contains(s.LastError.Error(), at("b.yaml")+":2:47: defaults.action: unknown action") {
		t.Errorf("status %+v", s)
	}
	write(t, at("a.yaml"), team("a2"))
	settles(t, l, "a2 b1 c1", true)

	// A new file with a mistake adds nothing, a new good one does.
	write(t, at("d.yaml"), "rules: [")
	write(t, at("e.yaml"), team("e1"))
	settles(t, l, "a2 b1 c1 e1", true)
	// A name that is another file's is the newcomer's mistake, whatever the order of the files.
	write(t, at("0.yaml"), team("c1"))
	eventually(t, "the mistake told", func() bool {
		return strings.Contains(fmt.Sprint(l.Status().LastError), "0.yaml:4:12: rules[0].name: the name c1 is taken by the rule in "+at("c.yaml")+":4:12")
	})
	settles(t, l, "a2 b1 c1 e1", true)

	// A restart amid all that routes by the same rules.
	again := newLive(t, o)
	if got := names(again); got != "a2 b1 c1 e1" || again.Status().LastError == nil {
		t.Errorf("after a restart: %q, %+v", got, again.Status())
	}

	// A file that is removed takes its rules along, the last good version included.
	must(t, os.Remove(at("b.yaml")))
	settles(t, l, "a2 c1 e1", true)
	must(t, os.Remove(at("0.yaml")))
	write(t, at("d.yaml"), team("d1"))
	settles(t, l, "a2 c1 d1 e1", false)
	if s := l.Status(); s.Partly || s.FromLastGood {
		t.Errorf("status %+v", s)
	}
	write(t, at("b.yaml"), "rules: [")
	settles(t, l, "a2 c1 d1 e1", true)

	// The directory itself may go for a moment.
	must(t, os.Rename(dir, dir+".away"))
	eventually(t, "an error", func() bool { return strings.Contains(fmt.Sprint(l.Status().LastError), "does not exist") })
	if got := names(l); got != "a2 c1 d1 e1" {
		t.Errorf("without the directory: %q", got)
	}
	must(t, os.Remove(filepath.Join(dir+".away", "b.yaml")))
	must(t, os.Rename(dir+".away", dir))
	settles(t, l, "a2 c1 d1 e1", false)
}

// Nobody's rules go because of what somebody else wrote: neither by a mistake in the file of
// portals, nor when it takes away a portal that is needed.
func TestPortalsOfADirectory(t *testing.T) {
	t.Parallel()
	on := func(portal, name string) string {
		return strings.Replace(team(name), "defaults: {", "defaults: {portal: "+portal+", ", 1)
	}
	dir := folder(t, map[string]string{"a.yaml": on("acme", "a"), "b.yaml": on("beta", "b"), "portals.yaml": twoPortals})
	at := func(name string) string { return filepath.Join(dir, name) }
	l := newLive(t, fast(dir))
	write(t, at("portals.yaml"), strings.Replace(twoPortals, "https", "htps", 1))
	settles(t, l, "a b", true)
	onlyAcme := strings.Replace(twoPortals, "  beta: *p\n", "", 1)
	write(t, at("portals.yaml"), onlyAcme)
	want := at("portals.yaml") + ":1:1: this version would break a file that has not changed (" + at("b.yaml") +
		":2:20: defaults.portal: unknown portal beta, known are acme), mend that file first, or both at once"
	eventually(t, "the refusal", func() bool { return strings.Contains(fmt.Sprint(l.Status().LastError), want) })
	settles(t, l, "a b", true)
	if len(l.Current().Portals) != 2 {
		t.Errorf("portals %v", l.Current().Portals)
	}
	write(t, at("b.yaml"), on("acme", "b2"))
	settles(t, l, "a b2", false)
	if len(l.Current().Portals) != 1 {
		t.Errorf("portals %v", l.Current().Portals)
	}
	// With a second portal, rules that name none would no longer be clear.
	write(t, at("a.yaml"), team("a"))
	settles(t, l, "a b2", false)
	write(t, at("more.yaml"), strings.NewReplacer("acme", "gamma", "beta", "delta").Replace(twoPortals))
	settles(t, l, "a b2", true)
	// Whoever removes the file of portals removes them.
	must(t, os.Remove(at("more.yaml")))
	settles(t, l, "a b2", false)
}

// Without its secret a portal is of no use, and its rules must not fall to the portal of the
// environment.
func TestAPortalOfADirectoryThatLosesItsSecret(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"portals.yaml": strings.Replace(strings.Replace(twoPortals, "  beta: *p\n", "", 1), "{env: DOCSPACE_API_KEY}, w", "{file: key}, w", 1),
		"key":          "sk-1", "rules.yaml": team("a"),
	})
	l := newLive(t, fast(dir))
	must(t, os.Remove(filepath.Join(dir, "key")))
	write(t, filepath.Join(dir, "rules.yaml"), team("b"))
	eventually(t, "an error", func() bool { return strings.Contains(fmt.Sprint(l.Status().LastError), "the file key does not exist") })
	if c := l.Current(); names(l) != "a" || c.Portals[0].Name != "acme" {
		t.Errorf("rules %q on %s", names(l), c.Portals[0].Name)
	}
	if _, err := NewLive(t.Context(), fast(dir)); err == nil || !strings.Contains(err.Error(), "the file key does not exist") {
		t.Errorf("a start: %v", err)
	}
	write(t, filepath.Join(dir, "key"), "sk-2")
	settles(t, l, "b", false)
}

func TestADirectoryThatNeverWasGoodIsRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.yaml": "rules: ["})
	if _, err := NewLive(t.Context(), fast(dir)); err == nil || !strings.Contains(err.Error(), "a.yaml:1:1: this is not YAML") {
		t.Errorf("NewLive: %v", err)
	}
	// The broken file may hold the portals that the rules of the good one are for.
	write(t, filepath.Join(dir, "b.yaml"), team("b"))
	for _, text := range []string{"rules: [", "- a", "version: 1\nportals:\n", strings.TrimSuffix(twoPortals, "*p\n") + "{"} {
		write(t, filepath.Join(dir, "a.yaml"), text)
		if _, err := NewLive(t.Context(), fast(dir)); err == nil || !strings.Contains(err.Error(), "a.yaml:1:1: the portals may be described here") {
			t.Errorf("NewLive beside %q: %v", text, err)
		}
	}
	write(t, filepath.Join(dir, "p.yaml"), strings.Replace(twoPortals, "  beta: *p\n", "", 1))
	if l := newLive(t, fast(dir)); names(l) != "b" || l.Current().Portals[0].Name != "acme" {
		t.Errorf("rules %q on %v", names(l), l.Current().Portals)
	}
	must(t, os.Remove(filepath.Join(dir, "p.yaml")))
	// With one good file among the bad there is something to route by.
	write(t, filepath.Join(dir, "a.yaml"), "version: 1\nrules: []\n")
	l := newLive(t, fast(dir))
	if names(l) != "b" || !l.Status().Partly {
		t.Errorf("rules %q, %+v", names(l), l.Status())
	}
}

// Whatever one file holds, another one's rules stay.
func FuzzDirectory(f *testing.F) {
	for _, text := range []string{"", "rules: [", twoPortals, team("steady"), team("other"), "version: 1\nportals: {}\n", "version: 1\nportals:\nrules: 1"} {
		f.Add(text)
	}
	o := Options{Path: filepath.Join(f.TempDir(), "none"), LookupEnv: onePortal()}
	steady := newFile("b.yaml", []byte(team("steady")))
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "file:") {
			t.Skip("reads files")
		}
		for _, name := range []string{"a.yaml", "c.yaml"} {
			files := []File{newFile(name, []byte(text)), steady}
			slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
			c, _, problems := assemble(files, []File{steady}, o, true)
			if c == nil || !slices.Contains(ruleNames(c), "steady") {
				t.Fatalf("the rule has gone: %v", problems)
			}
			for _, p := range problems {
				if p.Line < 1 || p.Column < 1 || !strings.HasSuffix(p.File, name) {
					t.Errorf("bad problem: %+v", p)
				}
			}
		}
	})
}

func TestKubeletSwapsADirectory(t *testing.T) {
	t.Parallel()
	for how, with := range map[string]func(LiveOptions) LiveOptions{
		"by notification":  byHintOnly,
		"by content check": func(o LiveOptions) LiveOptions { o.NoWatcher = true; return o },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			version := func(n int) map[string]string {
				return map[string]string{"a.yaml": team(fmt.Sprintf("a%d", n)), "b.yaml": team(fmt.Sprintf("b%d", n))}
			}
			kubelet(t, volume, 0, version(0))
			l := newLive(t, with(fast(volume)))
			n, ticks := 1, 0
			eventually(t, "the first swap", func() bool {
				if names(l) != "a0 b0" {
					return true
				}
				if ticks++; ticks%100 == 1 && n < 50 {
					kubelet(t, volume, n, version(n))
					n++
				}
				return false
			})
			for range 5 {
				kubelet(t, volume, n, version(n))
				eventually(t, "the next swap", func() bool { return names(l) == fmt.Sprintf("a%d b%d", n, n) })
				n++
			}
		})
	}
}
