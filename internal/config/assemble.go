package config

// assemble makes a Config of the files that were read. Where it is a directory and some of its
// files have problems, they are replaced by what good holds of them, or left out, so that one
// team's mistake stops nobody else: then there is a Config as well as problems. The problems
// are those of the files as they stand.
func assemble(files, good []File, o Options, isDir bool) (*Config, []secretFile, Problems) {
	lastGood := make(map[string]File, len(good))
	trusted := map[string]bool{}
	for _, f := range good {
		lastGood[f.Name] = f
	}
	for _, f := range files {
		trusted[f.Name] = lastGood[f.Name].Hash == f.Hash
	}
	r := parseFiles(files, o, isDir, trusted)
	secrets, problems := r.secretFiles(), r.problems()
	if len(problems) == 0 {
		return r.config, secrets, nil
	}
	if !isDir || len(r.common.problems) > 0 {
		return nil, secrets, problems
	}
	// Each round replaces or leaves out a file at least. A replacement can bring problems to
	// others: it may lack a portal, or still have a name that was given to another.
	all := problems
	for len(problems) > 0 && len(r.common.problems) == 0 {
		var next []File
		for i, f := range r.config.Files {
			last, known := lastGood[f.Name]
			switch {
			case len(r.docs[i].problems) == 0:
				next = append(next, f)
			case known && last.Hash != f.Hash:
				next = append(next, last)
				trusted[f.Name] = true
			}
		}
		if len(next) == 0 {
			return nil, secrets, all
		}
		r = parseFiles(next, o, isDir, trusted)
		problems = r.problems()
		all = appendNew(all, problems)
		secrets = append(secrets, r.secretFiles()...)
	}
	if len(problems) > 0 {
		return nil, secrets, all
	}
	return r.config, secrets, all
}

// appendNew adds the problems of a later round to those of files that had none before.
func appendNew(all, more Problems) Problems {
	blamed := map[string]bool{}
	for _, p := range all {
		blamed[p.File] = true
	}
	for _, p := range more {
		if !blamed[p.File] {
			all = append(all, p)
		}
	}
	return all
}
