package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"docspace-router/internal/admin"
	"docspace-router/internal/steer"
	"docspace-router/internal/store"
)

// longestReason is how much the admin API takes, in characters.
const longestReason = 500

func newPause(env environment) *cobra.Command {
	var gateway adminFlags
	cmd := &cobra.Command{
		Use:   "pause RULE|PORTAL --for TIME --reason WHY",
		Short: "Holds the transfers of a rule or portal for a while",
		Long: `pause holds the transfers of a rule or portal of the running gateway. Nothing is dropped:
events go on to be stored and routed, what was sent is followed to its end, and everything
flows again when the time is over. A second pause takes the place of the first.

Where a rule and a portal have one name, write rule/NAME or portal/NAME.`,
		Example: `  docspace-router pause client-contracts --for 2h --reason "Legal moves its rooms"`,
		Args:    oneName,
	}
	gateway.add(cmd)
	withVariables(cmd)
	var length period
	cmd.Flags().Var(&length, "for", "how long, as in 2h or 30m; at most 90 days, 2160h")
	reason := cmd.Flags().String("reason", "", fmt.Sprintf("the `reason`, for those who will wonder; at most %d characters", longestReason))
	author := addAuthor(cmd)
	output := addOutput(cmd)
	return asking(env, cmd, func(cmd *cobra.Command, args []string) error {
		switch {
		case length == 0:
			return misused("say how long with --for, as in --for 2h: a pause that is forgotten must end")
		case time.Duration(length) > steer.LongestPause:
			return misused("--for: a pause lasts 90 days at most, which is %.0fh", steer.LongestPause.Hours())
		case strings.TrimSpace(*reason) == "":
			return misused("say why with --reason, for those who will wonder")
		case utf8.RuneCountInString(*reason) > longestReason:
			return misused("--reason: has more than %d characters", longestReason)
		}
		scope, name, err := pauseScope(cmd.Context(), gateway, args[0])
		if err != nil {
			return err
		}
		var p admin.Pause
		if err := gateway.call(cmd.Context(), apiCall{
			method: http.MethodPost, path: "/api/v1/pauses", author: author.of(env),
			body: map[string]any{"scope": scope, "name": name, "until": time.Now().Add(time.Duration(length)), "reason": *reason},
		}, &p); err != nil {
			return err
		}
		if output.value == "json" {
			return writeJSON(env.stdout, p)
		}
		fmt.Fprintf(env.stdout, "%s %s is paused until %s\n", p.Scope, p.Name, p.Until.Local().Format(time.RFC3339))
		return nil
	})
}

func newResume(env environment) *cobra.Command {
	var gateway adminFlags
	cmd := &cobra.Command{
		Use:     "resume RULE|PORTAL",
		Short:   "Ends a pause",
		Example: `  docspace-router resume client-contracts`,
		Args:    oneName,
	}
	gateway.add(cmd)
	withVariables(cmd)
	author := addAuthor(cmd)
	return asking(env, cmd, func(cmd *cobra.Command, args []string) error {
		scope, name, err := pauseScope(cmd.Context(), gateway, args[0])
		if err != nil {
			return err
		}
		var rest any
		if err := gateway.call(cmd.Context(), apiCall{
			method: http.MethodDelete, path: fmt.Sprintf("/api/v1/pauses/%s/%s", scope, url.PathEscape(name)), author: author.of(env),
		}, &rest); err != nil {
			return err
		}
		fmt.Fprintf(env.stdout, "%s %s flows again\n", scope, name)
		return nil
	})
}

func oneName(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("name one rule or portal")
	}
	return nil
}

// pauseScope finds out whether a name is a rule's or a portal's. That of a pause counts too, since
// what it holds may have left the rules file.
func pauseScope(ctx context.Context, gateway adminFlags, arg string) (store.PauseScope, string, error) {
	if scope, name, ok := strings.Cut(arg, "/"); ok {
		if scope != string(store.PauseRule) && scope != string(store.PausePortal) {
			return "", "", misused("%q is neither rule/NAME nor portal/NAME", arg)
		}
		return store.PauseScope(scope), name, nil
	}
	var rules struct {
		Rules []admin.Rule `json:"rules"`
	}
	var status struct {
		Portals []admin.PortalStatus `json:"portals"`
		Pauses  []admin.Pause        `json:"pauses"`
	}
	if err := gateway.get(ctx, "/api/v1/rules", &rules); err != nil {
		return "", "", err
	}
	if err := gateway.get(ctx, "/api/v1/status", &status); err != nil {
		return "", "", err
	}
	isPaused := func(scope store.PauseScope) bool {
		return slices.ContainsFunc(status.Pauses, func(p admin.Pause) bool { return p.Scope == scope && p.Name == arg })
	}
	rule := slices.ContainsFunc(rules.Rules, func(r admin.Rule) bool { return r.Name == arg }) || isPaused(store.PauseRule)
	portal := slices.ContainsFunc(status.Portals, func(p admin.PortalStatus) bool { return p.Name == arg }) || isPaused(store.PausePortal)
	switch {
	case rule && portal:
		return "", "", misused("%s is a rule and a portal: write rule/%s or portal/%s", arg, arg, arg)
	case rule:
		return store.PauseRule, arg, nil
	case portal:
		return store.PausePortal, arg, nil
	}
	return "", "", fmt.Errorf("the running gateway has neither a rule nor a portal %q", arg)
}
