package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestHostileFilesAreRefusedQuickly(t *testing.T) {
	t.Parallel()
	// Each line holds ten of the one before: 10^n values when expanded.
	bomb := func(lines int, last string) string {
		var b strings.Builder
		b.WriteString("version: 1\nrules:\n  - &a0 {x: y}\n")
		for i := range lines {
			fmt.Fprintf(&b, "  - &a%d [%s]\n", i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 9)+fmt.Sprintf("*a%d", i))
		}
		return b.String() + last
	}
	pairs := "version: 1\nrules:\n  - name: r\n    triggers: [file.*]\n    action: copy\n    pairs: &p\n" +
		strings.Repeat("      - {source: 1, destination: 2}\n", 20_000)
	var many strings.Builder
	many.WriteString(pairs)
	for i := range 2000 {
		fmt.Fprintf(&many, "  - {name: r%d, triggers: [file.*], action: copy, pairs: *p}\n", i)
	}
	for name, text := range map[string]string{
		"nested aliases":           bomb(12, ""),
		"merged aliases":           bomb(1, "  - {<<: ["+strings.Repeat("*a0,", 1000)+"*a1]}\n"),
		"a list inside itself":     "version: 1\nrules: &r [*r]\n",
		"a mapping inside itself":  "version: 1\nrules:\n  - &r {source: *r, <<: *r, when: *r, triggers: [*r], name: *r}\n",
		"one list in many rules":   many.String(),
		"deep flow":                "version: 1\nrules: " + strings.Repeat("[", 100_000),
		"deep mapping":             "version: 1\nrules: " + strings.Repeat("{a: ", 100_000),
		"deep blocks":              "version: 1\nrules:\n" + strings.Repeat("- ", 100_000) + "a",
		"nine thousand deep":       "version: 1\nrules: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"a very long line":         "version: 1\nrules: " + strings.Repeat("a", 1<<20),
		"a million unknown keys":   "version: 1\n" + strings.Repeat("a: 1\n", 100_000),
		"an endless expression":    "version: 1\nrules:\n  - {name: a, when: '" + strings.Repeat("(", 1<<20) + "'}",
		"many documents":           strings.Repeat("---\nversion: 1\n", 10_000),
		"question marks":           strings.Repeat("? ", 50_000),
		"merge of a long sequence": "version: 1\n<<: [" + strings.Repeat("{},", 100_000) + "]\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			_, err := Parse("rules.yaml", []byte(text), Options{LookupEnv: onePortal()})
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("Parse: %v", err)
			}
			for _, p := range problems {
				if p.Line < 1 || p.Column < 1 {
					t.Fatalf("problem without a place: %+v", p)
				}
			}
			// Far more than it takes, far less than an expansion would.
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestLoadSaysWhyThereIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, ".hidden.yaml"), []byte("version: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, bytes.Repeat([]byte("#"), maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                              "rules file: no path is given",
		filepath.Join(dir, "none.yaml"): filepath.Join(dir, "none.yaml") + ": does not exist",
		empty:                           empty + ": holds no *.yaml file",
		large:                           large + ": is larger than 16384 KiB",
	} {
		_, err := Load(Options{Path: path, LookupEnv: onePortal()})
		var fe *FileError
		if !errors.As(err, &fe) || err.Error() != want {
			t.Errorf("Load(%q): %v", path, err)
		}
	}
}

// bigFile has n rules, each with an expression, and as many pairs as rules.
func bigFile(n int) []byte {
	var b bytes.Buffer
	b.WriteString("version: 1\nrules:\n")
	for i := range n {
		fmt.Fprintf(&b, `  - name: client-%d
    description: Contracts of client %d
    triggers: [file.uploaded, file.created]
    source: {room: %d}
    when: file.extension in ["pdf", "docx"] && file.size < 50 * MB
    action: copy
    destination: {folder: %d}
`, i, i, 500_000+i, 300_000+i)
	}
	b.WriteString("  - name: pairs\n    triggers: [file.uploaded]\n    action: copy\n    pairs:\n")
	for i := range n {
		fmt.Fprintf(&b, "      - {source: %d, destination: %d}\n", 600_000+i, 400_000+i)
	}
	return b.Bytes()
}

// BenchmarkParse loads 10 000 rules and 10 000 pairs. live-MiB is what the Config keeps alive.
func BenchmarkParse(b *testing.B) {
	text := bigFile(10_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var c *Config
	for b.Loop() {
		var err error
		if c, err = Parse("rules.yaml", text, Options{LookupEnv: onePortal()}); err != nil {
			b.Fatal(err)
		}
	}
	var with, without runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&with)
	runtime.KeepAlive(c) // from here on nothing holds it
	runtime.GC()
	runtime.ReadMemStats(&without)
	b.ReportMetric(float64(with.HeapAlloc-without.HeapAlloc)/(1<<20), "live-MiB")
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml", "../../rules.example.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	// No file may be read: a fuzzer would find ones that block.
	o := Options{Path: filepath.Join(f.TempDir(), "none", "rules.yaml"), LookupEnv: corpus()}
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("file:")) {
			t.Skip("reads files")
		}
		c, err := Parse("rules.yaml", text, o)
		if err == nil {
			if len(c.Portals) == 0 || c.Rules == nil || c.Rules.Len() == 0 {
				t.Errorf("an empty configuration: %+v", c)
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("not problems: %v", err)
		}
		lines := len(splitLines(string(text)))
		for _, p := range problems {
			if p.File != "rules.yaml" || p.Line < 1 || p.Column < 1 || p.Line > lines || p.Message == "" {
				t.Errorf("bad problem: %+v", p)
			}
		}
	})
}
