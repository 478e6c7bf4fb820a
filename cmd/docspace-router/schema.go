package main

import (
	"io"

	"github.com/spf13/cobra"

	"docspace-router/internal/config"
)

func newSchema(env environment) *cobra.Command {
	of := oneOf("rules", "rules", "tests")
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Prints the JSON Schema of the rules file, or of rule tests, for editors",
		Long: `schema prints a JSON Schema (draft 2020-12). With it an editor completes keys, shows what
they mean and marks mistakes while a file is written. Save it beside the rules and name it
in their first line, which most editors with a YAML extension understand:

  # yaml-language-server: $schema=rules.schema.json

A schema cannot know all that check does: which names are taken, which portals there are,
and what an expression means.

Exit status: 0 it was printed, 2 wrong usage.`,
		Example: `  docspace-router schema > rules.schema.json
  docspace-router schema --of tests > tests.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text := config.RulesSchema()
			if of.value == "tests" {
				text = config.TestsSchema()
			}
			_, err := io.WriteString(env.stdout, text)
			return err
		},
	}
	cmd.Flags().Var(&of, "of", "which files it is for: rules or rule tests")
	return cmd
}
