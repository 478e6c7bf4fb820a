package main

import (
	"fmt"
	"strconv"
	"strings"
)

// The names of the files beside the rules file that hold the portal's secrets.
const (
	keyFile    = "api-key"
	secretFile = "webhook-secret"
)

// rulesText writes the rules file. The secrets lie in files of their own, so that a revoked key
// can be replaced under way. The client's own pace is lifted, because it would only wait.
func rulesText(url string, rules []*rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
portals:
  acme:
    url: %s
    api_key: {file: %s}
    webhook_secrets: [{file: %s}]
    limits: {requests_per_minute: 100000, concurrent_writes: 15, writes_per_day: 1000000}
rules:
`, url, keyFile, secretFile)
	for _, r := range rules {
		r.write(&b)
	}
	return b.String()
}

func (r *rule) write(b *strings.Builder) {
	fmt.Fprintf(b, "  - name: %s\n    triggers: [%s]\n    action: %s\n    conflict: %s\n",
		r.name, strings.Join(r.triggers, ", "), r.action, r.conflict)
	if r.when.text != "" {
		fmt.Fprintf(b, "    when: %s\n", strconv.Quote(r.when.text))
	}
	if r.stop {
		b.WriteString("    stop: true\n")
	}
	if r.fallback {
		b.WriteString("    fallback: true\n")
	}
	if r.asPairs {
		b.WriteString("    pairs:\n")
		for _, t := range r.routes {
			fmt.Fprintf(b, "      - {source: %s, destination: %s}\n", t.from, t.to)
		}
		return
	}
	kind := "room"
	if r.fromFolder {
		kind = "folder"
	}
	var from []string
	for _, t := range r.routes {
		from = append(from, string(t.from))
	}
	fmt.Fprintf(b, "    source: {%s: [%s], subfolders: %t}\n    destination: {folder: %s}\n",
		kind, strings.Join(from, ", "), r.routes[0].subfolders, r.routes[0].to)
}
