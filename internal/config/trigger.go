package config

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"docspace-router/internal/event"
)

func (rd *rulesReader) triggers(n *yaml.Node, path string) []string {
	items, ok := rd.list(n, path, "write [file.uploaded]")
	if !ok {
		return nil
	}
	var out []string
	for i, item := range items {
		where := index(path, i)
		name, ok := rd.str(item, where)
		if !ok {
			continue
		}
		concrete := event.ExpandTrigger(name)
		if concrete == nil {
			rd.badTrigger(item, where, name)
			continue
		}
		for _, t := range concrete {
			if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	return out
}

// badTrigger says why a trigger will not do.
func (rd *rulesReader) badTrigger(n *yaml.Node, path, name string) {
	family, verb, _ := strings.Cut(name, ".")
	isKnown := slices.Contains(event.Triggers(), name) ||
		verb == "*" && slices.ContainsFunc(event.Triggers(), func(t string) bool { return strings.HasPrefix(t, family+".") })
	switch {
	case isKnown && (family == "user" || family == "group"):
		rd.add(n, path, "", "%s is about no file or folder, there is nothing to copy or move", name)
	case isKnown && (family == "room" || family == "agent"):
		rd.add(n, path, "", "%s is about a whole room, which is not copied or moved", name)
	case isKnown && verb == "downloaded":
		rd.add(n, path, "", "%s changes nothing, there is nothing new to copy or move", name)
	case isKnown:
		rd.add(n, path, "", "after %s nothing is left to copy or move", name)
	case name == "*":
		rd.add(n, path, "write [file.*, folder.*]", "* alone is no trigger")
	default:
		known := append(event.RoutableTriggers(), "file.*", "folder.*", "form.*")
		hint := didYouMean(name, known)
		if hint == "" {
			hint = "triggers are such as file.uploaded or folder.*"
		}
		rd.add(n, path, hint, "unknown trigger %s", name)
	}
}
