package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"docspace-router/internal/admin"
)

func newCatchUp(env environment) *cobra.Command {
	var gateway adminFlags
	var since moment
	cmd := &cobra.Command{
		Use:   "catch-up",
		Short: "Takes in deliveries that the portal logged and the gateway never got",
		Long: `catch-up has the running gateway look into each portal's webhook log for deliveries that
it has never stored, and waits until they are. They are routed as if they had just come, in
the order in which things happened. What was handled before is left alone.

The gateway does the same by itself, at start and every five minutes, as far back as its
--catch-up-window; --since looks further, or only as far as you say.

The API key needs the permission *:read for that. While a webhook is disabled or deleted,
the portal logs nothing: what was uploaded then can only be found by a backfill.

Exit status: 0 everything was taken in, 1 a log could not be read or the gateway not be
asked, 2 wrong usage.`,
		Example: `  docspace-router catch-up
  docspace-router catch-up --since 6h
  docspace-router catch-up --portal acme --since 2026-03-02T08:00:00Z`,
		Args: cobra.NoArgs,
	}
	gateway.add(cmd)
	withVariables(cmd)
	output := addOutput(cmd)
	cmd.Flags().Var(&since, "since", "how far back to look: a time, or how long ago; without it, to where the last look ended")
	portal := cmd.Flags().String("portal", "", "look only into the log of the portal of this `name`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := fromEnvironment(cmd, env); err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
		defer stop()
		context.AfterFunc(ctx, stop)
		c := catchUp{gateway: gateway, portal: *portal, progress: env.stderr}
		all, err := c.run(ctx, since.Time)
		switch {
		case ctx.Err() != nil:
			return findings(errors.New("interrupted; the gateway goes on by itself"))
		case err != nil:
			return findings(fmt.Errorf("catch up: %w", err))
		}
		return printCatchUp(env.stdout, output.value, all)
	}
	return cmd
}

// catchUp follows what the gateway does.
type catchUp struct {
	gateway  adminFlags
	portal   string
	progress io.Writer
	told     string
}

type catchUps struct {
	Portals []admin.CatchUp `json:"portals"`
}

// run asks for a look and waits for its end.
func (c *catchUp) run(ctx context.Context, since time.Time) ([]admin.CatchUp, error) {
	query := url.Values{}
	if c.portal != "" {
		query.Set("portal", c.portal)
	}
	only := query.Encode()
	if !since.IsZero() {
		query.Set("since", since.UTC().Format(time.RFC3339))
	}
	var asked catchUps
	if err := c.gateway.post(ctx, "/api/v1/catch-up?"+query.Encode(), &asked); err != nil {
		return nil, err
	}
	number := map[string]int{}
	for _, p := range asked.Portals {
		number[p.Portal] = p.Asked
	}
	ticker := time.NewTicker(300 * time.Millisecond)
	defer ticker.Stop()
	for {
		var now catchUps
		if err := c.gateway.get(ctx, "/api/v1/catch-up?"+only, &now); err != nil {
			return nil, err
		}
		ended := true
		for _, p := range now.Portals {
			ended = ended && p.Answered >= number[p.Portal]
		}
		if ended {
			return now.Portals, nil
		}
		c.tell(now.Portals)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
	}
}

// tell shows how far it is, when that has changed.
func (c *catchUp) tell(all []admin.CatchUp) {
	var parts []string
	for _, p := range all {
		if p.Running && p.Rows > 0 {
			parts = append(parts, fmt.Sprintf("%s: %s read, %d of %d missing taken in", p.Portal, count(p.Rows, "row"), p.Taken, p.Missing))
		}
	}
	if text := strings.Join(parts, "; "); text != c.told && text != "" {
		fmt.Fprintln(c.progress, text)
		c.told = text
	}
}

func printCatchUp(w io.Writer, output string, all []admin.CatchUp) error {
	if output == "json" {
		if err := writeJSON(w, catchUps{all}); err != nil {
			return err
		}
	}
	trouble := false
	for _, p := range all {
		trouble = trouble || p.Trouble != ""
		if output == "json" {
			continue
		}
		switch {
		case p.Trouble != "":
			fmt.Fprintf(w, "%s: %s\n", p.Portal, p.Trouble)
		case p.Webhooks == 0:
			fmt.Fprintf(w, "%s: the API key's account sees no webhook of the gateway: see docspace-router webhook list\n", p.Portal)
		case p.Taken == 0:
			fmt.Fprintf(w, "%s: nothing is missing, %s read\n", p.Portal, count(p.Rows, "row"))
		default:
			fmt.Fprintf(w, "%s: %s taken in, %s read\n", p.Portal, count(p.Taken, "event"), count(p.Rows, "row"))
		}
		if p.WrongSecret {
			fmt.Fprintf(w, "%s: the webhook signs with a secret that webhook_secrets does not list, so deliveries are refused\n", p.Portal)
		}
	}
	if trouble {
		return found()
	}
	return nil
}
