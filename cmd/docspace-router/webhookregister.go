package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"docspace-router/internal/config"
	"docspace-router/internal/webhook"
)

func newWebhookRegister(env environment) *cobra.Command {
	var flags webhookFlags
	cmd := &cobra.Command{
		Use:   "register",
		Short: "Creates the gateway's webhook on each portal, or brings it up to date",
		Long: `register makes each portal have one webhook of the gateway, at PUBLIC-URL/webhook/PORTAL,
enabled and with exactly the triggers that the enabled rules need. What is as it should be is
left alone, so that it may run as often as you like. Webhooks of others are not touched.

A portal asks the address with HEAD before it takes a webhook: serve must be running, and
reachable from the portal.

The secret is the first of webhook_secrets in the rules file. Where that names a file which is
missing or empty, register makes a secret and writes it there; where it names a variable that
is not set, or nothing at all, it shows the secret that it has made, once. A webhook that is
there keeps its secret, which the portal tells nobody, unless --new-secret is given.

Exit status: 0 every webhook is as it should be, 1 one is not, 2 wrong usage or unreadable
input.`,
		Example: `  docspace-router webhook register --public-url https://router.example.com --dry-run
  docspace-router webhook register --public-url https://router.example.com --portal acme`,
		Args: cobra.NoArgs,
	}
	flags.add(cmd)
	dryRun := cmd.Flags().Bool("dry-run", false, "say what would be changed, and change nothing")
	newSecret := cmd.Flags().Bool("new-secret", false, "also give a webhook that is there a new secret, when that of the rules file is missing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		desks, err := flags.open(cmd, env, true)
		if err != nil {
			return err
		}
		results := []registered{}
		var errs []error
		for _, d := range desks {
			r, err := d.register(cmd.Context(), *dryRun, *newSecret)
			if err != nil {
				errs = append(errs, err)
			} else if flags.output.value != "json" {
				r.print(env.stdout)
			}
			// A secret that was made is shown whatever came of it: it may be on the portal.
			if r.made.show != "" {
				fmt.Fprintf(env.stderr, "%s: %s\n", d.portal.Name, r.made.show)
			}
			if err == nil {
				results = append(results, r)
			}
		}
		if flags.output.value == "json" {
			if err := writeJSON(env.stdout, struct {
				Webhooks []registered `json:"webhooks"`
			}{results}); err != nil {
				return err
			}
		}
		return findings(errors.Join(errs...))
	}
	return cmd
}

// registered is what became of a portal's webhook.
type registered struct {
	Portal  string   `json:"portal"`
	ID      int64    `json:"id,omitempty"` // 0: there is none
	URL     string   `json:"url,omitempty"`
	Changes []string `json:"changes"`
	DryRun  bool     `json:"dry_run"`
	Notes   []string `json:"notes,omitempty"`
	// SecretFile is the file that a new secret was written to.
	SecretFile string `json:"secret_file,omitempty"`

	made madeSecret
}

func (r registered) print(w io.Writer) {
	what := fmt.Sprintf("webhook %d", r.ID)
	if r.ID == 0 {
		what = "webhook"
	}
	switch {
	case r.URL == "":
		fmt.Fprintf(w, "%s: no enabled rule needs a webhook\n", r.Portal)
	case len(r.Changes) == 0:
		fmt.Fprintf(w, "%s: %s is as it should be, for %s\n", r.Portal, what, r.URL)
	case r.DryRun:
		fmt.Fprintf(w, "%s: %s would change: %s\n", r.Portal, what, strings.Join(r.Changes, "; "))
	default:
		fmt.Fprintf(w, "%s: %s, for %s: done: %s\n", r.Portal, what, r.URL, strings.Join(r.Changes, "; "))
		fmt.Fprintf(w, "%s: %s\n", r.Portal, looksAgain)
	}
	if r.SecretFile != "" && !r.DryRun {
		fmt.Fprintf(w, "%s: a new secret is in %s\n", r.Portal, r.SecretFile)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "%s: %s\n", r.Portal, n)
	}
}

// looksAgain says when a gateway that runs will know.
const looksAgain = "a running gateway looks at its webhook again with the next delivery, at the latest after five minutes"

// register brings the webhook of a portal into being, or up to date.
func (d *webhookDesk) register(ctx context.Context, dryRun, newSecret bool) (registered, error) {
	r := registered{Portal: d.portal.Name, Changes: []string{}, DryRun: dryRun}
	if err := d.look(ctx); err != nil {
		return r, err
	}
	plan, err := d.state.Plan()
	if errors.Is(err, webhook.ErrNoTriggers) {
		return r, nil
	} else if err != nil {
		return r, fmt.Errorf("portal %s: %w", d.portal.Name, err)
	}
	r.ID, r.URL = plan.Old.ID, plan.New.URL
	r.Changes = append(r.Changes, plan.Changes...)
	for _, p := range d.state.Problems {
		if p.Kind == webhook.Several || p.Kind == webhook.Unknown {
			r.Notes = append(r.Notes, p.Text)
		}
	}
	if r.made, err = d.secret(plan.Old.ID == 0, newSecret, dryRun); err != nil {
		return r, fmt.Errorf("portal %s: %w", d.portal.Name, err)
	}
	if r.made.note != "" {
		r.Notes = append(r.Notes, r.made.note)
	}
	r.SecretFile = r.made.file
	if r.made.fresh {
		r.Changes = append(r.Changes, "give it a new secret")
	}
	if dryRun || len(r.Changes) == 0 {
		return r, nil
	}
	done, err := plan.Do(ctx, d.client, r.made.send)
	if err != nil {
		err = webhook.Diagnose(ctx, plan.New, r.made.send, err)
		return r, d.inWords("register the webhook", err)
	}
	r.ID = done.ID
	return r, d.verify(ctx, done.ID)
}

// verify looks whether the portal now has what was asked for.
func (d *webhookDesk) verify(ctx context.Context, id int64) error {
	if err := d.look(ctx); err != nil {
		return err
	}
	plan, err := d.state.Plan()
	switch {
	case err != nil:
		return fmt.Errorf("portal %s: %w", d.portal.Name, err)
	case len(plan.Changes) > 0:
		return fmt.Errorf("portal %s: webhook %d was registered, but not as it was asked for; still to do: %s", d.portal.Name, id, strings.Join(plan.Changes, "; "))
	}
	return nil
}

// madeSecret is the secret that a webhook gets.
type madeSecret struct {
	send  string // to the portal; empty: the present one stays
	fresh bool   // it was made just now
	file  string // where it was written
	show  string // what to tell about one that is written nowhere
	note  string // what else to tell
}

// secret finds the webhook's secret or makes it. It is written before the portal gets it: a portal
// tells it to nobody.
func (d *webhookDesk) secret(isNew, newSecret, dryRun bool) (madeSecret, error) {
	for _, s := range d.portal.WebhookSecrets {
		if value := s.Reveal(); value != "" {
			if newSecret {
				return madeSecret{}, errors.New("the rules file has a webhook secret already: to change it, put another one before it in webhook_secrets, and the old one may go when nothing is signed with it any more")
			}
			if !isNew {
				return madeSecret{}, nil // the portal has one; whether it is this one, it does not say
			}
			if err := webhook.CheckSecret(value); err != nil {
				return madeSecret{}, fmt.Errorf("the first of webhook_secrets cannot be a webhook's: %w", err)
			}
			return madeSecret{send: value}, nil
		}
	}
	if !isNew && !newSecret {
		return madeSecret{note: "the secret that the rules file points to is missing here, and the webhook keeps the one it has; if nobody knows that one, register with --new-secret"}, nil
	}
	m := madeSecret{send: webhook.NewSecret(), fresh: true}
	source := config.SecretSource{}
	if len(d.portal.WebhookSecretSources) > 0 {
		source = d.portal.WebhookSecretSources[0]
	}
	if source.File != "" {
		m.file = source.File
		if dryRun {
			return m, nil
		}
		return m, writeSecret(source.File, m.send)
	}
	if !dryRun {
		m.show = fmt.Sprintf("the webhook's secret, shown this once: %s\n"+
			"  Set %s for serve and restart it: deliveries are refused until it has the secret.\n"+
			"  If serve cannot start without it and the webhook was not registered, set it, start serve and register again.",
			m.send, whereTo(source, d.portal.Name))
	}
	return m, nil
}

// whereTo names what takes the secret.
func whereTo(source config.SecretSource, portal string) string {
	if source.Variable != "" {
		return "the variable " + source.Variable
	}
	return fmt.Sprintf("a variable of your choice and webhook_secrets: [{env: NAME}] of portal %s in the rules file", portal)
}

// writeSecret writes a secret that only its owner may read, whole or not at all.
func writeSecret(path, secret string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write the new secret: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write the new secret to %s: %w", path, err)
		}
	}()
	_, err = f.WriteString(secret + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
