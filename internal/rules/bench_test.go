package rules

import (
	"fmt"
	"testing"
	"time"

	"docspace-router/internal/event"
)

// benchTable holds n rules, each on a room of its own; event 10 of benchFacts meets one.
func benchTable(b *testing.B, n int) *Table {
	specs := make([]Spec, n)
	for i := range specs {
		specs[i] = ruleSpec(fmt.Sprintf("rule-%d", i),
			triggers("file.uploaded", "file.created", "file.moved"),
			when(`file.extension in ["pdf", "docx"] && file.size < 50 * MB`),
			withRoutes(Route{Source: event.ID(fmt.Sprint(500_000 + i)), Subfolders: true, Destination: "20"}))
	}
	return compile(b, specs...)
}

func benchFacts() *Facts {
	f := upload(lookedUp)
	f.Chain = []Folder{{ID: "900001"}, {ID: "900002"}, {ID: "500005"}}
	return f
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			table, f := benchTable(b, n), benchFacts()
			b.ReportAllocs()
			for b.Loop() {
				if len(table.Match(f).Matches) != 1 {
					b.Fatal("no match")
				}
			}
		})
	}
	b.Run("rules=10000/none-fits", func(b *testing.B) {
		table, f := benchTable(b, 10_000), benchFacts()
		f.Chain[2].ID = "1"
		b.ReportAllocs()
		for b.Loop() {
			if table.Match(f).Considered != 0 {
				b.Fatal("a rule was considered")
			}
		}
	})
}

// BenchmarkMatchByRoom has every rule on the rooms of a tag or of a title of its own.
func BenchmarkMatchByRoom(b *testing.B) {
	for _, kind := range []SourceKind{TagSource, TitleSource} {
		for _, n := range []int{10, 1000, 10_000} {
			b.Run(fmt.Sprintf("%s/rules=%d", kind, n), func(b *testing.B) {
				specs := make([]Spec, n)
				for i := range specs {
					pattern := fmt.Sprintf("client %d", i)
					if kind == TitleSource {
						pattern += " *"
					}
					specs[i] = ruleSpec(fmt.Sprintf("rule-%d", i), when(`file.extension == "pdf"`),
						withRoutes(Route{SourceKind: kind, Pattern: pattern, Subfolders: true, Destination: "20"}))
				}
				table, f := compile(b, specs...), upload(tagged("Client 5", "other"))
				f.Room.Title = "Client 5 GmbH"
				b.ReportAllocs()
				for b.Loop() {
					if len(table.Match(f).Matches) != 1 || table.Needs(f) != 0 {
						b.Fatal("no match")
					}
				}
			})
		}
	}
}

// BenchmarkExplain says of every rule why it did or did not match.
func BenchmarkExplain(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			table, f := benchTable(b, n), benchFacts()
			b.ReportAllocs()
			for b.Loop() {
				if len(table.Explain(f)) != n {
					b.Fatal("verdicts are missing")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/rule")
		})
	}
}

// BenchmarkMatchRatio measures a small and a large table side by side, so that a busy machine
// slows both alike, and reports how much dearer the large one is.
func BenchmarkMatchRatio(b *testing.B) {
	small, large, f := benchTable(b, 10), benchTable(b, 10_000), benchFacts()
	var inSmall, inLarge time.Duration
	for b.Loop() {
		const turns = 100
		start := time.Now()
		for range turns {
			small.Match(f)
		}
		middle := time.Now()
		for range turns {
			large.Match(f)
		}
		inSmall += middle.Sub(start)
		inLarge += time.Since(middle)
	}
	b.ReportMetric(float64(inLarge)/float64(inSmall), "x-of-10-rules")
}

// BenchmarkCompile compiles rules that all have an expression of their own.
func BenchmarkCompile(b *testing.B) {
	specs := make([]Spec, 10_000)
	for i := range specs {
		specs[i] = ruleSpec(fmt.Sprintf("rule-%d", i),
			when(fmt.Sprintf(`file.extension in ["pdf", "docx"] && file.size < %d * MB`, i)),
			withRoutes(Route{Source: event.ID(fmt.Sprint(500_000 + i)), Subfolders: true, Destination: "20"}))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, errs := Compile(specs); len(errs) > 0 {
			b.Fatal(errs)
		}
	}
}
