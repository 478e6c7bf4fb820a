package ui

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"docspace-router/internal/config"
	"docspace-router/internal/store"
)

type rulesFileView struct {
	Rules    Rules
	Errors   []problem
	Warnings []string
	Versions []store.RuleVersion // newest first, the first of which is in use
	Diff     []fileDiff
	Unshown  bool // a text could not be shown, because its secrets could not be found for certain
}

// problem is a line of a load's error, with its place apart where it has one.
type problem struct{ Place, Text string }

type fileDiff struct {
	Name  string
	Hunks []hunk
}

type hunk struct {
	From, To int
	Lines    []diffLine
}

type diffLine struct{ Class, Sign, Text string }

func (u *UI) rulesFile(w http.ResponseWriter, r *http.Request) error {
	pulse := u.beat(r.Context())
	v := rulesFileView{Rules: u.o.Rules()}
	for _, line := range errorLines(v.Rules.Status.LastError) {
		v.Errors = append(v.Errors, splitProblem(line))
	}
	for _, warning := range v.Rules.Warnings {
		v.Warnings = append(v.Warnings, warning.String())
	}
	var err error
	if v.Versions, err = u.o.Store.RuleVersions(r.Context(), 10); err != nil {
		return err
	}
	if len(v.Versions) > 1 {
		if v.Diff, v.Unshown, err = difference(v.Versions[1].Files, v.Versions[0].Files); err != nil {
			return err
		}
	}
	return u.render(w, r, http.StatusOK, "rules-file", view{Title: "Rules file", Nav: "/rules-file", Live: true, Pulse: pulse, Body: v})
}

// splitProblem parts "rules.yaml:12:11: rules[3].when: unknown name" after the place.
func splitProblem(line string) problem {
	place, text, ok := strings.Cut(line, ": ")
	if ok && strings.Count(place, ":") >= 2 {
		return problem{place, text}
	}
	return problem{"", line}
}

// difference compares two versions of the rules as people may see them.
func difference(old, new []store.RuleFile) (out []fileDiff, unshown bool, err error) {
	texts := func(files []store.RuleFile) (map[string]string, bool) {
		all, whole := map[string]string{}, true
		for _, f := range files {
			text, ok := config.Masked(config.File{Name: f.Name, Text: f.Text})
			all[f.Name], whole = text, whole && ok
		}
		return all, whole
	}
	before, wholeBefore := texts(old)
	after, wholeAfter := texts(new)
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d, err := diffOf(name, before[name], after[name])
		if err != nil {
			return nil, false, err
		}
		if len(d.Hunks) > 0 {
			out = append(out, d)
		}
	}
	return out, !wholeBefore || !wholeAfter, nil
}

func diffOf(name, before, after string) (fileDiff, error) {
	unified, err := udiff.ToUnifiedDiff(name, name, before, udiff.Lines(before, after), 3)
	if err != nil {
		return fileDiff{}, fmt.Errorf("compare versions of %s: %w", name, err)
	}
	d := fileDiff{Name: name}
	for _, h := range unified.Hunks {
		out := hunk{From: h.FromLine, To: h.ToLine}
		for _, line := range h.Lines {
			text := strings.TrimSuffix(line.Content, "\n")
			switch line.Kind {
			case udiff.Delete:
				out.Lines = append(out.Lines, diffLine{"gone", "−", text})
			case udiff.Insert:
				out.Lines = append(out.Lines, diffLine{"new", "+", text})
			default:
				out.Lines = append(out.Lines, diffLine{"same", " ", text})
			}
		}
		d.Hunks = append(d.Hunks, out)
	}
	return d, nil
}

// reload loads the rules file now. What is wrong with it is on the page that follows.
func (u *UI) reload(w http.ResponseWriter, r *http.Request) error {
	text := "The rules file is loaded."
	if err := u.o.Reload(context.WithoutCancel(r.Context())); err != nil {
		text = "The rules file has errors; the rules in use stay."
	}
	notice(w, r, text, u.now())
	http.Redirect(w, r, "/rules-file", http.StatusSeeOther)
	return nil
}
