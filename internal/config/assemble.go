package config

import "slices"

// assemble makes a Config of the files that were read. Where it is a directory and some of its
// files have problems, they are replaced by what good holds of them, or left out, so that one
// team's mistake stops nobody else: then there is a Config as well as problems. The problems
// are those of the files as they stand.
func assemble(files, good []File, o Options, isDir bool) (*Config, []secretFile, Problems) {
	a := assembly{lastGood: make(map[string]File, len(good)), trusted: map[string]bool{}}
	for _, f := range good {
		a.lastGood[f.Name] = f
	}
	for _, f := range files {
		a.trusted[f.Name] = a.lastGood[f.Name].Hash == f.Hash
	}
	r := parseFiles(files, o, isDir, a.trusted)
	secrets, all := r.secretFiles(), r.problems()
	for isDir && len(r.common.problems) == 0 && len(r.problems()) > 0 {
		// Every round replaces or leaves out a file, so there are few of them.
		next := a.without(r)
		if len(next) == 0 {
			return nil, secrets, all
		}
		r = parseFiles(next, o, isDir, a.trusted)
		secrets = append(secrets, r.secretFiles()...)
	}
	if len(r.problems()) > 0 {
		return nil, secrets, all
	}
	if d := a.unclear; d != nil && r.noBlock {
		d.add(start, "", "mend it, or move it away",
			"the portals may be described here, so the rules of the other files are not put to use without it")
		return nil, secrets, append(all, d.problems[len(d.problems)-1])
	}
	return r.config, secrets, a.problems
}

// assembly is the state of assemble.
type assembly struct {
	lastGood map[string]File
	trusted  map[string]bool // files that are as they were when all was well
	problems Problems        // of the files that are not in use as they stand
	unclear  *document       // the first of a first start that is left out and may name portals
}

// without returns the files of a reading, those that are to blame for its problems replaced or
// left out, or none where that will not do.
func (a *assembly) without(r *reading) []File {
	blamed := a.blame(r)
	var next []File
	for i, f := range r.config.Files {
		last, known := a.lastGood[f.Name]
		switch {
		case !blamed[i]:
			next = append(next, f)
		case known && last.Hash != f.Hash:
			next = append(next, last)
			a.trusted[f.Name] = true
		case len(r.docs[i].portalNames) > 0 && (known || len(a.lastGood) == 0):
			// Its secrets may have gone. Rules must not end up on another portal for that.
			return nil
		case r.docs[i].mayName && len(a.lastGood) == 0 && a.unclear == nil:
			a.unclear = r.docs[i]
		}
	}
	return next
}

// blame finds the files at fault: those with problems that have changed. Where only files have
// problems that have not, another one took away what they need, as a file of portals can; its
// change is refused.
func (a *assembly) blame(r *reading) map[int]bool {
	broken, changed, portals := map[int]bool{}, map[int]bool{}, map[int]bool{}
	first := -1
	for i, d := range r.docs {
		trusted := a.trusted[r.config.Files[i].Name]
		switch {
		case len(d.problems) > 0:
			broken[i] = true
			if first < 0 {
				first = i
			}
			if !trusted {
				changed[i] = true
			}
		case !trusted && len(d.portalNames) > 0:
			portals[i] = true
		}
	}
	if len(changed) > 0 {
		a.report(r, changed)
		return changed
	}
	if len(portals) == 0 {
		for i, d := range r.docs { // one that lost its portals block
			if !a.trusted[r.config.Files[i].Name] && len(d.problems) == 0 {
				portals[i] = true
			}
		}
	}
	if len(portals) == 0 {
		a.report(r, broken)
		return broken
	}
	for i := range portals {
		d := r.docs[i]
		d.add(start, "", "mend that file first, or both at once",
			"this version would break a file that has not changed (%s)", r.docs[first].problems[0])
	}
	a.report(r, portals)
	return portals
}

// report adds the problems of files that had none so far.
func (a *assembly) report(r *reading, files map[int]bool) {
	for i, d := range r.docs {
		told := slices.ContainsFunc(a.problems, func(p Problem) bool { return p.File == d.name })
		if files[i] && !told {
			a.problems = append(a.problems, d.problems...)
		}
	}
	a.problems.sort()
}
