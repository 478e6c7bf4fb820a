package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"docspace-router/internal/config"
	"docspace-router/internal/preflight"
)

// onlineFlags are the flags of check that are about asking portals.
type onlineFlags struct {
	online, annotate bool
	publicURL        string
}

// addAddress adds what is a setting of the machine.
func (o *onlineFlags) addAddress(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.publicURL, "public-url", "",
		"with --online: the `address` at which the portals reach the gateway; without it a webhook is known by its path")
}

func (o *onlineFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.online, "online", false, "ask the portals whether they are as the rules take them to be")
	cmd.Flags().BoolVar(&o.annotate, "annotate", false, "with --online: write the titles of rooms and folders beside their ids in the rules file")
}

// agree refuses flags that contradict each other.
func (o *onlineFlags) agree(rules rulesFlags) error {
	switch {
	case o.annotate && !o.online:
		return errors.New("--annotate writes what the portals answer: give --online as well")
	case o.annotate && rules.path == "-":
		return errors.New("--annotate changes the rules file: name it, standard input cannot be changed")
	case o.online && rules.withoutSecrets:
		return errors.New("--online needs the API keys that --without-secrets leaves out")
	}
	if u, err := url.Parse(o.publicURL); o.publicURL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		return errors.New("--public-url is not an address such as https://router.example.com")
	}
	return nil
}

// onlineCheck is what asking the portals led to; nil: they were not asked.
type onlineCheck struct {
	report    preflight.Report
	annotated []annotated
}

// annotated is what became of one rules file.
type annotated struct {
	file  string
	lines int // that have changed
	err   error
}

func (o *onlineFlags) run(ctx context.Context, c *config.Config, path string, stderr io.Writer) (*onlineCheck, error) {
	var opened []interface{ Close() }
	defer func() {
		for _, client := range opened {
			client.Close()
		}
	}()
	clients := map[string]preflight.Portal{}
	for _, p := range c.Portals {
		client, err := newClient(p)
		if err != nil {
			return nil, err
		}
		opened = append(opened, client)
		clients[p.Name] = client
	}
	show, done := statusLine(stderr)
	report, err := preflight.Run(ctx, preflight.Options{
		Config: c, PublicURL: o.publicURL,
		Open:     func(p config.Portal) (preflight.Portal, error) { return clients[p.Name], nil },
		Progress: func(n, of int) { show("docspace-router: %d of %d ids looked up", n, of) },
	})
	done()
	if err != nil {
		return nil, fmt.Errorf("ask the portals: %w", err)
	}
	out := &onlineCheck{report: report}
	if o.annotate {
		out.annotated = annotateFiles(c, path, report)
	}
	return out, nil
}

func (o *onlineCheck) failed() bool {
	if o == nil {
		return false
	}
	for _, a := range o.annotated {
		if a.err != nil {
			return true
		}
	}
	return o.report.Failed()
}

func (o *onlineCheck) printFindings(w io.Writer) {
	if o == nil {
		return
	}
	for _, f := range o.report.Findings {
		p := f.Problem
		if f.Rule != "" {
			p.Path += " (rule " + f.Rule + ")"
		}
		if f.Severity == preflight.Warning {
			fmt.Fprint(w, "warning: ")
		}
		fmt.Fprintln(w, p)
	}
}

// printPortals says of each portal in one line how it stands, and of each annotated file.
func (o *onlineCheck) printPortals(w io.Writer) {
	if o == nil {
		return
	}
	for _, s := range o.report.Portals {
		var words []string
		switch wrong, odd := o.report.Of(s.Portal); {
		case wrong == 0 && odd == 0:
			words = append(words, "ok")
		default:
			if wrong > 0 {
				words = append(words, count(wrong, "error"))
			}
			if odd > 0 {
				words = append(words, count(odd, "warning"))
			}
		}
		line := fmt.Sprintf("portal %s: %s", s.Portal, strings.Join(words, ", "))
		if s.Account != "" {
			line += fmt.Sprintf(", as %s", s.Account)
		}
		if len(s.Notes) > 0 {
			line += " (" + strings.Join(s.Notes, "; ") + ")"
		}
		fmt.Fprintln(w, line)
	}
	for _, a := range o.annotated {
		switch {
		case a.err != nil:
			fmt.Fprintf(w, "%s: not annotated: %v\n", a.file, a.err)
		case a.lines == 0:
			fmt.Fprintf(w, "%s: the titles are up to date\n", a.file)
		default:
			fmt.Fprintf(w, "%s: titles written in %s\n", a.file, count(a.lines, "line"))
		}
	}
}

type (
	onlineJSON struct {
		Portals   []statusJSON    `json:"portals"`
		Findings  []findingJSON   `json:"findings"`
		Annotated []annotatedJSON `json:"annotated,omitempty"`
	}
	statusJSON struct {
		Portal   string   `json:"portal"`
		Asked    bool     `json:"asked"`
		Account  string   `json:"account,omitempty"`
		Errors   int      `json:"errors"`
		Warnings int      `json:"warnings"`
		Notes    []string `json:"notes,omitempty"`
	}
	findingJSON struct {
		Severity string `json:"severity"`
		Portal   string `json:"portal"`
		Rule     string `json:"rule,omitempty"`
		problem
	}
	annotatedJSON struct {
		File  string `json:"file"`
		Lines int    `json:"lines"`
		Error string `json:"error,omitempty"`
	}
)

func (o *onlineCheck) forScripts() *onlineJSON {
	if o == nil {
		return nil
	}
	out := &onlineJSON{Portals: []statusJSON{}, Findings: []findingJSON{}}
	for _, s := range o.report.Portals {
		wrong, odd := o.report.Of(s.Portal)
		out.Portals = append(out.Portals, statusJSON{s.Portal, s.Asked, s.Account, wrong, odd, s.Notes})
	}
	for _, f := range o.report.Findings {
		out.Findings = append(out.Findings, findingJSON{string(f.Severity), f.Portal, f.Rule, problem(f.Problem)})
	}
	for _, a := range o.annotated {
		line := annotatedJSON{File: a.file, Lines: a.lines}
		if a.err != nil {
			line.Error = a.err.Error()
		}
		out.Annotated = append(out.Annotated, line)
	}
	return out
}
