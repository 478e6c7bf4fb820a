package config

import _ "embed" // for the schemas

var (
	//go:embed schema/rules.schema.json
	rulesSchema string
	//go:embed schema/tests.schema.json
	testsSchema string
)

// RulesSchema is the JSON Schema of the rules file, for editors. It is written by hand and held
// against the loader by a test. It knows less than the loader: nothing of names that are taken
// or that there are not, of what expressions mean, and of secrets.
func RulesSchema() string { return rulesSchema }

// TestsSchema is the JSON Schema of files of rule tests.
func TestsSchema() string { return testsSchema }
