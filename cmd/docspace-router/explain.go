package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"docspace-router/internal/config"
	"docspace-router/internal/docspace"
	"docspace-router/internal/event"
	"docspace-router/internal/explain"
	"docspace-router/internal/routing"
	"docspace-router/internal/rules"
)

func newExplain(env environment) *cobra.Command {
	var flags rulesFlags
	var gateway adminFlags
	cmd := &cobra.Command{
		Use:   "explain BODY.json | --event ID",
		Short: "Shows which rules match a delivery, and why the others do not",
		Long: `explain says for every rule whether it matches a delivery and, if not, which condition
failed first and what was found instead. It routes nothing.

The delivery is a file with the body of a webhook request, or "-" for standard input; the
portal keeps the body of each delivery in the webhook's history. A delivery does not say
in which room its file lies. What rests on such things is marked with a question mark,
unless --online lets explain ask the portal, as serve would do. Without --online the
secrets that the rules file refers to need not be there.

With --event, explain asks the running gateway about an event it has stored: what became
of it, and what the rules in use now make of it; the portal is asked.

Of more than a hundred rules, those that do not match are only counted; --rule tells of
one of them, and -o json of all.

Exit status: 0 the rules were applied, 1 the rules file is invalid, the portal or the
gateway could not be asked or the delivery is about no file or folder, 2 wrong usage or
unreadable input.`,
		Example: `  docspace-router explain delivery.json
  docspace-router explain --online --portal acme -o json - < delivery.json
  docspace-router explain --event 42`,
		Args: atMostOne("delivery"),
	}
	flags.add(cmd)
	gateway.add(cmd)
	withVariables(cmd)
	output := addOutput(cmd)
	body := cmd.Flags().StringP("file", "f", "", "the `file` with the delivery's body, when it is not given as an argument")
	var stored eventID
	cmd.Flags().Var(&stored, "event", "the `id` of an event that the running gateway has stored")
	only := cmd.Flags().String("rule", "", "tell of the rule of this `name` alone")
	portal := cmd.Flags().String("portal", "", "the `name` of the portal that sent it; needed when there are several")
	online := cmd.Flags().Bool("online", false, "ask the portal for what the delivery does not say")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := fromEnvironment(cmd, env); err != nil {
			return err
		}
		tell := func(e explain.Explanation) error { return printExplanation(env.stdout, output.value, *only, e) }
		if cmd.Flags().Changed("event") {
			if len(args) == 1 || *body != "" || *portal != "" || *online {
				return errors.New("a stored event has its own body and portal, and the portal is asked: give --event alone")
			}
			return explainStored(cmd.Context(), gateway, int64(stored), tell)
		}
		switch {
		case len(args) == 1 && *body != "":
			return errors.New("the delivery is given twice, as an argument and with --file")
		case len(args) == 1:
			*body = args[0]
		case *body == "":
			return errors.New(`name the file with the delivery's body, or "-" for standard input, or an event with --event`)
		}
		if *body == "-" && flags.path == "-" {
			return errors.New("the rules and the delivery cannot both come from standard input")
		}
		flags.withoutSecrets = !*online
		c, err := loadRules(env, flags)
		if err != nil {
			return findings(err)
		}
		p, err := choosePortal(c, *portal)
		if err != nil {
			return unreadable(err)
		}
		ev, err := readDelivery(env, *body)
		if err != nil {
			return err
		}
		return explainDelivery(cmd.Context(), c, p, ev, *online, tell)
	}
	return cmd
}

// eventID is the flag for a stored event. Its own type says in our words what it wants.
type eventID int64

func (id *eventID) String() string {
	if *id == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*id), 10)
}

func (id *eventID) Set(s string) error {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return errors.New("wanted is the id of a stored event, a number above 0")
	}
	*id = eventID(n)
	return nil
}

func (id *eventID) Type() string { return "id" }

// explainStored lets the running gateway explain an event it has stored.
func explainStored(ctx context.Context, gateway adminFlags, id int64, tell func(explain.Explanation) error) error {
	var e explain.Explanation
	err := gateway.post(ctx, fmt.Sprintf("/api/v1/events/%d/explain", id), &e)
	var status *statusError
	switch {
	case errors.As(err, &status):
		return err
	case err != nil:
		return findings(fmt.Errorf("explain event %d: %w", id, err))
	}
	return tell(e)
}

func choosePortal(c *config.Config, name string) (config.Portal, error) {
	if name == "" {
		if len(c.Portals) > 1 {
			return config.Portal{}, fmt.Errorf("the rules file has several portals, say with --portal which one sent this: %s", portalNames(c))
		}
		return c.Portals[0], nil
	}
	p, ok := c.Portal(name)
	if !ok {
		return config.Portal{}, fmt.Errorf("the rules file has no portal %q, only %s", name, portalNames(c))
	}
	return p, nil
}

// readDelivery reads a delivery as the webhook endpoint would.
func readDelivery(env environment, path string) (event.Event, error) {
	read := func() ([]byte, error) { return os.ReadFile(path) }
	if path == "-" {
		read = func() ([]byte, error) { return io.ReadAll(env.stdin) }
	}
	raw, err := read()
	if err != nil {
		return event.Event{}, unreadable(fmt.Errorf("read the delivery: %w", err))
	}
	ev, err := event.Parse(raw)
	var noEntry *event.NoEntryError
	switch {
	case errors.As(err, &noEntry):
		return event.Event{}, findings(fmt.Errorf("such a delivery is ignored: %w", err))
	case err != nil:
		return event.Event{}, unreadable(fmt.Errorf("read the delivery: %w", err))
	}
	return ev, nil
}

func explainDelivery(
	ctx context.Context, c *config.Config, p config.Portal, ev event.Event, online bool, tell func(explain.Explanation) error,
) error {
	facts := rules.Facts{Portal: p.Name, Event: ev, Now: time.Now()}
	own := false
	if online {
		err := askPortal(ctx, c, p, &facts)
		own = errors.Is(err, routing.ErrOwnEvent)
		if err != nil && !own {
			return findings(fmt.Errorf("ask portal %s: %w", p.Name, err))
		}
	}
	return tell(explain.New(c.Rules, facts, online, own))
}

func printExplanation(w io.Writer, output, only string, e explain.Explanation) error {
	if only != "" {
		var err error
		if e, err = e.Only(only); err != nil {
			return findings(err)
		}
	}
	if output == "json" {
		return writeJSON(w, e)
	}
	e.Print(w)
	return nil
}

func portalNames(c *config.Config) string {
	names := make([]string, len(c.Portals))
	for i, p := range c.Portals {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

// askPortal completes the facts as routing does.
func askPortal(ctx context.Context, c *config.Config, p config.Portal, facts *rules.Facts) error {
	client, err := docspace.New(docspace.Options{
		Portal: p.Name, URL: p.URL, APIKey: p.APIKey.Reveal, UserAgent: "docspace-router/" + buildVersion(),
	})
	if err != nil {
		return err
	}
	defer client.Close()
	return routing.NewLocator(time.Minute, nil).Complete(ctx, routing.Snapshot{
		Rules:  c.Rules,
		Portal: func(name string) (routing.Portal, bool) { return client, name == p.Name },
	}, facts)
}
