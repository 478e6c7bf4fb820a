package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"docspace-router/internal/rules"
)

// longestAuthor is how much of a name the admin API takes, in characters.
const longestAuthor = 100

// addAuthor gives a command that changes something its --author flag. It has no variable: who acts is
// no setting of the machine.
func addAuthor(cmd *cobra.Command) *authorFlag {
	var a authorFlag
	cmd.Flags().Var(&a, "author", "who does this; it is kept with what is done (default: your user name on this machine)")
	return &a
}

// authorFlag is a flag that names who uses a command, for what is kept of it.
type authorFlag string

// String implements pflag.Value.
func (a *authorFlag) String() string { return string(*a) }

// Type implements pflag.Value.
func (a *authorFlag) Type() string { return "name" }

// Set implements pflag.Value.
func (a *authorFlag) Set(s string) error {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return errors.New("want a name")
	case utf8.RuneCountInString(s) > longestAuthor:
		return fmt.Errorf("has more than %d characters", longestAuthor)
	case s != printable(s):
		return errors.New("want a name on one line")
	}
	*a = authorFlag(s)
	return nil
}

// of is the name that was given, or else the user's.
func (a *authorFlag) of(env environment) string {
	given := []string{string(*a)}
	for _, name := range []string{"USER", "LOGNAME", "USERNAME"} {
		if value, ok := env.lookup(name); ok {
			given = append(given, value)
		}
	}
	if u, err := user.Current(); err == nil {
		given = append(given, u.Username)
	}
	for _, name := range given {
		var fit authorFlag
		if fit.Set(name) == nil {
			return string(fit)
		}
	}
	return "command"
}

// group is a command that only has other commands.
func group(env environment, use, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(env.stderr)
			if err := cmd.Help(); err != nil {
				return err
			}
			return &statusError{code: exitUsage}
		},
	}
	cmd.AddCommand(commands...)
	return cmd
}

// asking makes a command ask the running gateway: what goes wrong there is a finding.
func asking(env environment, cmd *cobra.Command, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := fromEnvironment(cmd, env); err != nil {
			return err
		}
		err := run(cmd, args)
		var status *statusError
		var bad *usageError
		switch {
		case errors.As(err, &status), errors.As(err, &bad):
			return err
		}
		return findings(err)
	}
	return cmd
}

// usageError is about how a command was called.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func misused(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// idArgs are the ids that a command is about.
func idArgs(what string, args []string) ([]int64, error) {
	ids := make([]int64, len(args))
	for i, arg := range args {
		id, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || id < 1 {
			return nil, misused("%q is not the id of %s, which is a number above 0", arg, what)
		}
		ids[i] = id
	}
	return ids, nil
}

func oneID(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("name %s by its id", what)
		}
		return nil
	}
}

// listFlags narrow a list.
type listFlags struct {
	known                        []string // states
	states, portal, rule, search string
	room                         string // of transfers
	since, until                 moment
	limit                        int
}

func (l *listFlags) add(cmd *cobra.Command, known ...string) {
	l.known = known
	cmd.Flags().StringVar(&l.states, "state", "", "only these `states`, separated by commas: "+strings.Join(known, ", "))
	cmd.Flags().StringVar(&l.portal, "portal", "", "only the portal of this `name`")
	cmd.Flags().StringVar(&l.rule, "rule", "", "only what the rule of this `name` caused")
	cmd.Flags().StringVarP(&l.search, "search", "q", "", "only entries with this `text` in their title, in whatever case")
	cmd.Flags().Var(&l.since, "since", "only what is younger than this `time`, as in 24h or 2026-03-01T00:00:00Z")
	cmd.Flags().Var(&l.until, "until", "only what is older than this `time`")
}

func (l *listFlags) addRoom(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.room, "room", "", "only what came from or went to the room or folder of this `id or name`, or of one with this in its name")
}

func (l *listFlags) addLimit(cmd *cobra.Command) {
	cmd.Flags().IntVar(&l.limit, "limit", 50, "how many to show at most, the newest")
}

// chosen are the states that are meant.
func (l *listFlags) chosen() ([]string, error) {
	if l.states == "" {
		return nil, nil
	}
	var states []string
	for state := range strings.SplitSeq(l.states, ",") {
		state = strings.TrimSpace(state)
		if !slices.Contains(l.known, state) {
			hint := ""
			if near := rules.Nearest(state, l.known); near != "" {
				hint = fmt.Sprintf(", did you mean %s?", near)
			}
			return nil, misused("--state: %s is none of %s%s", cmp.Or(printable(state), `""`), strings.Join(l.known, ", "), hint)
		}
		states = append(states, state)
	}
	return states, nil
}

func (l *listFlags) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{
		"state": l.states, "portal": l.portal, "rule": l.rule, "q": l.search, "room": l.room, "since": l.since.String(), "until": l.until.String(),
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// collect reads pages of a list until it has as many as are wanted. A page of a search may be short
// or empty although there is more.
func collect[T any](ctx context.Context, gateway adminFlags, path string, l *listFlags, page func() (into any, items func() ([]T, string))) (all []T, more bool, err error) {
	if l.limit < 1 {
		return nil, false, misused("--limit: want at least 1")
	}
	states, err := l.chosen()
	if err != nil {
		return nil, false, err
	}
	q := l.query()
	if len(states) > 0 {
		q.Set("state", strings.Join(states, ","))
	}
	for {
		q.Set("limit", strconv.Itoa(min(l.limit-len(all), 1000)))
		into, items := page()
		if err := gateway.get(ctx, path+"?"+q.Encode(), into); err != nil {
			return nil, false, err
		}
		part, next := items()
		if all = append(all, part...); next == "" || len(all) >= l.limit {
			return all, next != "", nil
		}
		q.Set("cursor", next)
	}
}

// table writes rows in columns. On a terminal the last column has what the others leave of the
// width; elsewhere nothing is cut.
type table struct {
	to    io.Writer
	text  *bytes.Buffer
	w     *tabwriter.Writer
	width int // of the terminal; 0: there is none
}

// narrowest is the width below which a terminal's lines wrap: less would say nothing.
const narrowest = 80

func newTable(w io.Writer, head ...string) table {
	text := new(bytes.Buffer)
	t := table{to: w, text: text, w: tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)}
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		columns, _, _ := term.GetSize(int(f.Fd())) // 0 with an error
		t.width = max(columns, narrowest)
	}
	if len(head) > 0 {
		t.row(head...)
	}
	return t
}

func (t table) row(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

// cell makes a text fit into a column that is not the last.
func (t table) cell(s string, width int) string {
	if t.width == 0 {
		return printable(s)
	}
	return short(s, width)
}

// end writes the table, without the spaces that fill the last columns.
func (t table) end() error {
	if err := t.w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(t.text.String()) {
		line = strings.TrimRight(line, " \n")
		if t.width > 0 {
			line = short(line, t.width)
		}
		if _, err := fmt.Fprintln(t.to, line); err != nil {
			return err
		}
	}
	return nil
}

// short cuts a text to a width, on one line. What could move the cursor of a terminal is left out.
func short(s string, width int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// quoted makes one argument of a shell of a text.
func quoted(s string) string { return "'" + strings.ReplaceAll(printable(s), "'", `'\''`) + "'" }

// clockTime writes a time for people.
func clockTime(t time.Time) string { return t.Local().Format("01-02 15:04:05") }

// inZone is the head of a column of times: it says once which zone they are in.
func inZone(head string) string { return head + " (" + time.Now().Format("MST") + ")" }

func clockTimeOr(t *time.Time, other string) string {
	if t == nil {
		return other
	}
	return clockTime(*t)
}

// confirm asks before many things are changed.
func confirm(env environment, yes bool, question string) error {
	if yes {
		fmt.Fprintln(env.stderr, question)
		return nil
	}
	fmt.Fprintf(env.stderr, "%s Go on? [y/N] ", question)
	answer, err := bufio.NewReader(env.stdin).ReadString('\n')
	fmt.Fprintln(env.stderr)
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	case "":
		if err != nil && !isTerminal(env.stdin) {
			return misused("no terminal to ask on: give --yes")
		}
	}
	return errors.New("nothing was done")
}
