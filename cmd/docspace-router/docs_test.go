package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestTheTrapsNameTestsThatExist holds docs/docspace-traps.md against the tests it names.
func TestTheTrapsNameTestsThatExist(t *testing.T) {
	t.Parallel()
	const traps = 20
	text, err := os.ReadFile("../../docs/docspace-traps.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`^\| (\d+) \|`)
	name := regexp.MustCompile("`([a-z]+)\\.(Test[A-Za-z0-9_]+)`")
	rows := 0
	for line := range strings.Lines(string(text)) {
		number := row.FindStringSubmatch(line)
		if number == nil {
			continue
		}
		if rows++; number[1] != strconv.Itoa(rows) {
			t.Errorf("row %d is numbered %s", rows, number[1])
		}
		names := name.FindAllStringSubmatch(line, -1)
		if len(names) == 0 {
			t.Errorf("trap %d names no test", rows)
		}
		for _, n := range names {
			if !hasTest(t, n[1], n[2]) {
				t.Errorf("trap %d names %s.%s, which does not exist", rows, n[1], n[2])
			}
		}
	}
	if rows != traps {
		t.Errorf("%d traps, want %d", rows, traps)
	}
}

// hasTest reports whether a package has a test of that name.
func hasTest(t *testing.T, pkg, test string) bool {
	t.Helper()
	folder := filepath.Join("../../internal", pkg)
	if pkg == "main" {
		folder = "."
	}
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}
