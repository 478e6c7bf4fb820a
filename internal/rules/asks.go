package rules

// Asks returns which of the things that only the portal knows a rule may ask for, by its place in
// Rules: NeedRoomTags and NeedAuthor, for which the API key needs scopes of their own.
func (t *Table) Asks(i int) Need {
	r := &t.rules[i]
	var used fact
	if r.condition != nil {
		for _, p := range r.condition.parts {
			used |= p.uses
		}
	}
	if r.path != nil {
		used |= r.path.uses
	}
	var n Need
	if used&factAuthorEmail != 0 {
		n |= NeedAuthor
	}
	if used&factTags != 0 {
		n |= NeedRoomTags
	}
	for j := range r.spec.Routes {
		if r.spec.Routes[j].SourceKind == TagSource {
			n |= NeedRoomTags
		}
	}
	return n
}

// HasTag reports whether a room with the tags is one that a TagSource names: case does not matter.
func HasTag(tags []string, tag string) bool {
	for _, t := range tags {
		if foldTag(t) == foldTag(tag) {
			return true
		}
	}
	return false
}
