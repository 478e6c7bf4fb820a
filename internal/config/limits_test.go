package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
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
			// Far more than it takes, and far less than an expansion would.
			longest := 30 * time.Second
			if testing.Short() {
				longest *= 10 // under the race detector
			}
			if took := time.Since(start); took > longest {
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

// bigRules has n rules, each with an expression.
func bigRules(n int) []byte {
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
	return b.Bytes()
}

func bigPairs(n int) []byte {
	var b bytes.Buffer
	b.WriteString("version: 1\nrules:\n  - name: pairs\n    triggers: [file.uploaded]\n    action: copy\n    pairs:\n")
	for i := range n {
		fmt.Fprintf(&b, "      - {source: %d, destination: %d}\n", 600_000+i, 400_000+i)
	}
	return b.Bytes()
}

// BenchmarkParse loads 10 000 rules or pairs. held-MiB is what the Config keeps alive, peak-MiB
// the most that loading it took beside what was there before.
func BenchmarkParse(b *testing.B) {
	for name, text := range map[string][]byte{"rules": bigRules(10_000), "pairs": bigPairs(10_000)} {
		b.Run("10000 "+name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			load := func() *Config {
				c, err := Parse("rules.yaml", text, Options{LookupEnv: onePortal()})
				if err != nil {
					b.Fatal(err)
				}
				return c
			}
			var c *Config
			started, turns := processorTime(), 0
			for b.Loop() {
				c = load()
				turns++
			}
			b.ReportMetric((processorTime()-started).Seconds()/float64(turns), "cpu-s/op")
			inUse := func() uint64 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return m.HeapAlloc
			}
			runtime.GC()
			with := inUse()
			runtime.KeepAlive(c) // from here on nothing holds it
			runtime.GC()
			without := inUse()
			b.ReportMetric(float64(with-without)/(1<<20), "held-MiB")
			b.ReportMetric(float64(peak(load, inUse)-without)/(1<<20), "peak-MiB")
		})
	}
}

// processorTime is what this process has used; a busy machine does not stretch it.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peak watches the heap while load runs.
func peak(load func() *Config, inUse func() uint64) uint64 {
	most, done := inUse(), make(chan struct{})
	go func() {
		defer close(done)
		load()
	}()
	for {
		most = max(most, inUse())
		select {
		case <-done:
			return most
		case <-time.After(time.Millisecond):
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml", "testdata/warn/*.yaml", "../../rules.example.yaml"} {
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
