package app

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"docspace-router/internal/admin"
)

// rulesStatus describes the rules in use and the last attempt to load them.
func (a *App) rulesStatus() admin.RulesStatus {
	s := a.live.Status()
	out := admin.RulesStatus{
		Path: a.o.Rules, Hash: s.Hash, LoadedAt: s.LoadedAt, Rules: a.current.Load().config.Rules.Len(),
		// A directory's files with errors are what Errors names; the others are in use as they are.
		LastGood: s.FromLastGood || s.LastError != nil && !s.Partly,
	}
	if s.LastError != nil {
		out.Errors = strings.Split(s.LastError.Error(), "\n")
	}
	return out
}

// readiness answers with one line per check. Only administrators are told more than how a check
// ended: the error of a database names its address and its user. A bad rules file is told but is
// no reason to take deliveries away from a gateway that routes by the version before.
func (a *App) readiness(details bool) http.HandlerFunc {
	// Anybody may ask, as often as they like.
	log := a.limited.With("component", "app")
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		code := http.StatusOK
		database := "ok"
		if err := a.store.Ping(ctx); err != nil {
			code = http.StatusServiceUnavailable
			database = "failed"
			if details {
				database += ": " + err.Error()
			}
			// Who hangs up learns nothing of the database, and neither do we.
			if r.Context().Err() == nil {
				log.Error("database not ready", "err", err)
			}
		}
		rules, more := a.rulesCheck()
		if details {
			rules += more
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		fmt.Fprintf(w, "database: %s\nrules: %s\n", database, rules)
		if details {
			a.webhooksCheck(w)
		}
	}
}

// rulesCheck says how the rules stand, and what only administrators need.
func (a *App) rulesCheck() (state, more string) {
	rules := a.rulesStatus()
	inUse := fmt.Sprintf("%s (%s)", countRules(rules.Rules), shortHash(rules.Hash))
	switch {
	case a.live.Status().Partly:
		return "files have errors", ", their last good versions are in use, where there are any; " + inUse + " in all"
	case len(rules.Errors) > 0:
		return "the file has errors", "; the last good version is in use, " + inUse
	}
	return "ok", ", " + inUse
}

func countRules(n int) string {
	if n == 1 {
		return "1 rule"
	}
	return fmt.Sprintf("%d rules", n)
}

func shortHash(hash string) string { return hash[:min(12, len(hash))] }
