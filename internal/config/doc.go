// Package config reads the rules file: it turns YAML into a validated Config, or into every
// problem the file has, each with its place. It also keeps a Config current while the program
// runs (Live): it watches the file, reloads it as a whole, and leaves the running version
// untouched when the new one is bad.
//
// It knows the file format and what an expression may say (through package rules), and
// nothing of portals, databases or HTTP. It reads no environment variable of its own accord:
// the look-up is an option. A secret's value never appears in a problem, a log line or a
// printed Config.
package config
