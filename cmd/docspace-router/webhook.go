package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"docspace-router/internal/config"
	"docspace-router/internal/docspace"
	"docspace-router/internal/webhook"
)

func newWebhook(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhook",
		Short: "Manages the gateway's own webhook on each portal",
		Long: `webhook registers, lists and removes the webhook by which a portal tells the gateway of
uploads. It reads the rules file and asks the portals itself; the gateway need not run for
list and remove. For register it must: a portal asks the address before it takes it.

The API key needs the permission *:read to list webhooks and *:write to change them, beside
its others. The webhook then belongs to the key's account, which learns of what it may read.`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(env.stderr)
			if err := cmd.Help(); err != nil {
				return err
			}
			return &statusError{code: exitUsage}
		},
	}
	cmd.AddCommand(newWebhookRegister(env), newWebhookList(env), newWebhookRemove(env))
	return cmd
}

// webhookFlags are what the three commands have in common.
type webhookFlags struct {
	rules     rulesFlags
	publicURL string
	portal    string
	output    *choice
}

func (f *webhookFlags) add(cmd *cobra.Command) {
	f.rules.add(cmd)
	cmd.Flags().StringVar(&f.publicURL, "public-url", "", "the `URL` under which portals reach the gateway, without /webhook, such as https://router.example.com")
	withVariables(cmd)
	cmd.Flags().StringVar(&f.portal, "portal", "", "only the portal of this `name`")
	f.output = addOutput(cmd)
}

// desk is a portal and what is wanted there.
type webhookDesk struct {
	portal   config.Portal
	client   *docspace.Client
	wish     webhook.Wish
	state    webhook.State
	all      []docspace.Webhook
	triggers []docspace.Trigger
}

// open reads the rules file and chooses the portals.
func (f *webhookFlags) open(cmd *cobra.Command, env environment, needsURL bool) ([]*webhookDesk, error) {
	if err := fromEnvironment(cmd, env); err != nil {
		return nil, err
	}
	if f.publicURL == "" && needsURL {
		return nil, unreadable(errors.New("give the address under which portals reach the gateway with --public-url, such as https://router.example.com"))
	}
	if f.publicURL != "" {
		if err := webhook.CheckPublicURL(f.publicURL); err != nil {
			return nil, unreadable(fmt.Errorf("%s: %q: %w", writtenAs(cmd.Flags().Lookup("public-url"), env), f.publicURL, err))
		}
	}
	o := f.rules.options(env)
	o.NewWebhookSecrets = true
	c, err := config.Load(o)
	if err != nil {
		return nil, findings(err)
	}
	chosen := c.Portals
	if f.portal != "" {
		p, ok := c.Portal(f.portal)
		if !ok {
			return nil, unreadable(fmt.Errorf("--portal: there is no portal %s in the rules file", f.portal))
		}
		chosen = []config.Portal{p}
	}
	var desks []*webhookDesk
	for _, p := range chosen {
		client, err := docspace.New(docspace.Options{Portal: p.Name, URL: p.URL, APIKey: p.APIKey.Reveal, UserAgent: "docspace-router/" + buildVersion()})
		if err != nil {
			return nil, findings(err)
		}
		desks = append(desks, &webhookDesk{
			portal: p, client: client, wish: webhook.NewWish(p.Name, f.publicURL, len(c.Portals) == 1, c.Rules.Triggers(p.Name)),
		})
	}
	return desks, nil
}

// look asks the portal how things stand.
func (d *webhookDesk) look(ctx context.Context) (err error) {
	if d.all, err = d.client.Webhooks(ctx); err != nil {
		return d.inWords("list the webhooks", err)
	}
	if d.triggers, err = d.client.WebhookTriggers(ctx); err != nil {
		return d.inWords("list the triggers", err)
	}
	d.state = d.wish.Compare(d.all, nil, d.triggers)
	return nil
}

// inWords says what an administrator can do about an error.
func (d *webhookDesk) inWords(doing string, err error) error {
	why := err.Error()
	switch {
	case docspace.LacksScope(err):
		why = "the API key may not: give it the permission *:write (*:read is enough to list), beside its others"
	case docspace.IsForbidden(err):
		why = "the portal does not let the API key's account: guests never may, and the portal's settings may leave webhooks to administrators"
	case docspace.IsCredentials(err):
		why += ": is the API key the right one, and active?"
	}
	return fmt.Errorf("portal %s: %s: %s", d.portal.Name, doing, why)
}

func newWebhookList(env environment) *cobra.Command {
	var flags webhookFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists the webhooks that the API key's account sees",
		Long: `list shows the webhooks of each portal that the API key's account may see: an
administrator's account sees all, others their own. With --public-url it says which is the
gateway's and what is wrong with it; without, only a webhook's name can tell.

Exit status: 0 all is well, 1 something is wrong or a portal could not be asked, 2 wrong
usage or unreadable input.`,
		Example: `  docspace-router webhook list --public-url https://router.example.com`,
		Args:    cobra.NoArgs,
	}
	flags.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		desks, err := flags.open(cmd, env, false)
		if err != nil {
			return err
		}
		return listWebhooks(cmd.Context(), env, flags.output.value, desks, flags.publicURL != "")
	}
	return cmd
}

// listedWebhook is a webhook as scripts see it.
type listedWebhook struct {
	Portal      string     `json:"portal"`
	ID          int64      `json:"id"`
	Name        string     `json:"name"`
	URL         string     `json:"url"`
	Enabled     bool       `json:"enabled"`
	Triggers    []string   `json:"triggers"`
	Own         *bool      `json:"own,omitempty"` // nil: it cannot be told
	LastSuccess *time.Time `json:"last_success,omitempty"`
	LastFailure *time.Time `json:"last_failure,omitempty"`
}

func listWebhooks(ctx context.Context, env environment, output string, desks []*webhookDesk, compare bool) error {
	list, problems := []listedWebhook{}, []string{}
	var errs []error
	for _, d := range desks {
		if err := d.look(ctx); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, h := range d.all {
			list = append(list, d.listed(h))
		}
		for _, p := range d.state.Problems {
			if compare || p.Kind == webhook.Unknown {
				problems = append(problems, d.portal.Name+": "+p.Text)
			}
		}
	}
	if output == "json" {
		err := writeJSON(env.stdout, struct {
			Webhooks []listedWebhook `json:"webhooks"`
			Problems []string        `json:"problems"`
		}{list, problems})
		if err != nil {
			return err
		}
	} else {
		printWebhooks(env.stdout, list)
		if !compare && len(list) > 0 {
			fmt.Fprintln(env.stderr, "OURS goes by the names alone: give --public-url to be certain, and to learn what is wrong")
		}
		for _, p := range problems {
			fmt.Fprintln(env.stdout, p)
		}
	}
	switch {
	case len(errs) > 0:
		return findings(errors.Join(errs...))
	case len(problems) > 0:
		return found()
	}
	return nil
}

func (d *webhookDesk) listed(h docspace.Webhook) listedWebhook {
	l := listedWebhook{
		Portal: d.portal.Name, ID: h.ID, Name: h.Name, URL: h.URL, Enabled: h.Enabled, Triggers: webhook.Names(d.triggers, h.Triggers),
		Own: d.own(h),
	}
	if !h.LastSuccess.IsZero() {
		l.LastSuccess = &h.LastSuccess
	}
	if !h.LastFailure.IsZero() {
		l.LastFailure = &h.LastFailure
	}
	return l
}

// own reports whether a webhook is the gateway's. Without the gateway's address only a name can say so.
func (d *webhookDesk) own(h docspace.Webhook) *bool {
	own := len(d.wish.Own([]docspace.Webhook{h}, nil)) > 0
	if len(d.wish.Addresses) == 0 {
		if own = d.wish.NamedAsOwn(h); !own {
			return nil
		}
	}
	return &own
}

func printWebhooks(w io.Writer, list []listedWebhook) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no webhooks")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PORTAL\tID\tNAME\tENABLED\tOURS\tURL\tTRIGGERS")
	yes := map[bool]string{true: "yes", false: "no"}
	for _, h := range list {
		ours := "?"
		if h.Own != nil {
			ours = yes[*h.Own]
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", h.Portal, h.ID, h.Name, yes[h.Enabled], ours, h.URL, strings.Join(h.Triggers, " "))
	}
	// Nobody is left to tell when the terminal is gone.
	_ = table.Flush()
}

func newWebhookRemove(env environment) *cobra.Command {
	var flags webhookFlags
	cmd := &cobra.Command{
		Use:   "remove",
		Short: "Deletes the gateway's webhook",
		Long: `remove deletes the webhooks that point to the gateway or bear the name it gives them, and no
others. With it goes the portal's log of its deliveries. Of several portals, --portal names
the one that is meant.

Exit status: 0 there is none any more, 1 a portal refused, 2 wrong usage or unreadable input.`,
		Example: `  docspace-router webhook remove --public-url https://router.example.com --dry-run`,
		Args:    cobra.NoArgs,
	}
	flags.add(cmd)
	dryRun := cmd.Flags().Bool("dry-run", false, "say what would be deleted, and delete nothing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		desks, err := flags.open(cmd, env, true)
		if err != nil {
			return err
		}
		if len(desks) > 1 {
			return unreadable(fmt.Errorf("the rules file has %d portals: name the one that is meant with --portal", len(desks)))
		}
		return removeWebhooks(cmd.Context(), env.stdout, flags.output.value, desks[0], *dryRun)
	}
	return cmd
}

func removeWebhooks(ctx context.Context, w io.Writer, output string, d *webhookDesk, dryRun bool) error {
	if err := d.look(ctx); err != nil {
		return findings(err)
	}
	removed := []listedWebhook{}
	for _, h := range d.state.Own {
		if !dryRun {
			if err := d.client.DeleteWebhook(ctx, h.ID); err != nil && !docspace.IsGone(err) {
				return findings(d.inWords(fmt.Sprintf("delete webhook %d", h.ID), err))
			}
		}
		removed = append(removed, d.listed(h))
		if output != "json" {
			fmt.Fprintf(w, "%s: webhook %d %q, to %s: %s\n", d.portal.Name, h.ID, h.Name, h.URL, map[bool]string{true: "would be deleted", false: "deleted"}[dryRun])
		}
	}
	if output == "json" {
		return writeJSON(w, struct {
			Deleted []listedWebhook `json:"deleted"`
			DryRun  bool            `json:"dry_run"`
		}{removed, dryRun})
	}
	switch {
	case len(removed) == 0:
		fmt.Fprintf(w, "%s: there is no webhook of the gateway\n", d.portal.Name)
	case !dryRun:
		fmt.Fprintf(w, "%s: %s\n", d.portal.Name, looksAgain)
	}
	return nil
}
