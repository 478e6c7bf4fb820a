package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"docspace-router/internal/config"
)

// variableOf marks a flag that an environment variable can stand in for.
const variableOf = "docspace-router.variable"

// withVariables lets a variable stand in for each flag the command has so far, and names it in
// the flag's help. Flags added later are about one call, and no setting of the machine.
func withVariables(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "ROUTER_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		f.Annotations = map[string][]string{variableOf: {name}}
		f.Usage += " [" + name + "]"
	})
}

// fromEnvironment sets the flags that were not given from their variables. An empty variable
// counts as none. It reports every variable that will not do.
func fromEnvironment(cmd *cobra.Command, env environment) error {
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		names := f.Annotations[variableOf]
		if f.Changed || len(names) == 0 {
			return
		}
		value, ok := env.lookup(names[0])
		if !ok || value == "" {
			return
		}
		if err := f.Value.Set(value); err != nil {
			errs = append(errs, fmt.Errorf("variable %s: %w", names[0], badValue(f, value, err)))
		}
	})
	return unreadable(errors.Join(errs...))
}

// writtenAs names what gave a flag its value: itself, or the variable that stood in for it.
func writtenAs(f *pflag.Flag, env environment) string {
	if names := f.Annotations[variableOf]; !f.Changed && len(names) > 0 {
		if value, _ := env.lookup(names[0]); value != "" {
			return "variable " + names[0]
		}
	}
	return "--" + f.Name
}

// badValue says what a flag takes where the flag's own error does not.
func badValue(f *pflag.Flag, value string, err error) error {
	if f.Value.Type() == "bool" {
		return fmt.Errorf("%q is neither true nor false", value)
	}
	return err
}

// defaultRules is the rules file where none is named.
const defaultRules = "rules.yaml"

// rulesFlags are what every command needs to read a rules file.
type rulesFlags struct {
	path          string
	allowUnsigned bool
	// withoutSecrets is for commands that only look at the rules.
	withoutSecrets bool
	// locations is for commands that say where in the file something is that a portal refuses.
	locations bool
}

func (r *rulesFlags) add(cmd *cobra.Command) {
	r.addFile(cmd)
	cmd.Flags().BoolVar(&r.allowUnsigned, "allow-unsigned", false, "accept portals without webhook secrets, whose deliveries anybody could forge")
}

// addFile is for commands that do not care how deliveries are signed.
func (r *rulesFlags) addFile(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.path, "rules", defaultRules, "the rules `file`, or a directory whose *.yaml files belong together")
}

func (r *rulesFlags) options(env environment) config.Options {
	return config.Options{
		Path: r.path, LookupEnv: env.lookup, AllowUnsigned: r.allowUnsigned, WithoutSecrets: r.withoutSecrets, Locations: r.locations,
	}
}

// choice is a flag that takes one of a few words.
type choice struct {
	value string
	words []string
}

func oneOf(preset string, words ...string) choice { return choice{preset, words} }

// String implements pflag.Value.
func (c *choice) String() string { return c.value }

// Type implements pflag.Value.
func (c *choice) Type() string { return strings.Join(c.words, "|") }

// Set implements pflag.Value.
func (c *choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return fmt.Errorf("%q is not one of %s", s, strings.Join(c.words, ", "))
	}
	c.value = s
	return nil
}

// addOutput gives a reading command its -o flag.
func addOutput(cmd *cobra.Command) *choice {
	output := oneOf("text", "text", "json")
	cmd.Flags().VarP(&output, "output", "o", "text for people, json for scripts")
	return &output
}

// period is a flag that takes a time span of some length.
type period time.Duration

// String implements pflag.Value. It leaves out the zero minutes and seconds. No time at all is no
// default that help should name.
func (p *period) String() string {
	if *p == 0 {
		return ""
	}
	s := time.Duration(*p).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = strings.TrimSuffix(s, zero[1:])
		}
	}
	return s
}

// Type implements pflag.Value.
func (p *period) Type() string { return "duration" }

// Set implements pflag.Value.
func (p *period) Set(s string) error {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a time span such as 720h or 90m", s)
	case d <= 0:
		return fmt.Errorf("%q is no time at all: want a span such as 720h or 90m", s)
	}
	*p = period(d)
	return nil
}

// periodOrOff is a flag that takes a time span, or "off" for none.
type periodOrOff time.Duration

// String implements pflag.Value.
func (p *periodOrOff) String() string {
	if *p == 0 {
		return "off"
	}
	return (*period)(p).String()
}

// Type implements pflag.Value.
func (p *periodOrOff) Type() string { return "duration|off" }

// Set implements pflag.Value.
func (p *periodOrOff) Set(s string) error {
	if s == "off" {
		*p = 0
		return nil
	}
	if err := (*period)(p).Set(s); err != nil {
		return fmt.Errorf("%w, or off", err)
	}
	return nil
}

// moment is a flag that takes a time, or how long ago it was.
type moment struct{ time.Time }

// String implements pflag.Value.
func (m *moment) String() string {
	if m.IsZero() {
		return ""
	}
	return m.Format(time.RFC3339)
}

// Type implements pflag.Value.
func (m *moment) Type() string { return "time|duration" }

// Set implements pflag.Value.
func (m *moment) Set(s string) error {
	var ago period
	if ago.Set(s) == nil {
		m.Time = time.Now().Add(-time.Duration(ago))
		return nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			if t.After(time.Now()) {
				return fmt.Errorf("%s lies in the future", s)
			}
			m.Time = t
			return nil
		}
	}
	return fmt.Errorf("%q is neither a time such as 2026-03-02T08:00:00Z or 2026-03-02 nor a span such as 6h", s)
}
