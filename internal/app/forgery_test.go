package app_test

import (
	"strings"
	"testing"

	"docspace-router/internal/portalsim"
)

func TestPortalsThatAnybodyCanForgeAreNamedAtEveryStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.options.AllowUnsigned = true
	w.replaceRules(`version: 1
portals:
  signed: {url: https://a.example.com, api_key: {env: DOCSPACE_API_KEY}, webhook_secrets: [{env: DOCSPACE_WEBHOOK_SECRET}]}
  trial: {url: https://b.example.com, api_key: {env: DOCSPACE_API_KEY}}
  forgotten: {url: https://c.example.com, api_key: {env: DOCSPACE_API_KEY}}
rules:
  - {name: uploads, portal: signed, triggers: [file.uploaded], source: {room: 1}, action: copy, destination: {folder: 2}}
`)
	const want = `level=WARN msg="anybody can forge deliveries of a portal without a webhook secret" component=app portal=forgotten`
	w.run()
	if got := strings.Count(w.logs.String(), want); got != 1 {
		t.Errorf("told %d times, want once", got)
	}
	w.restart()
	if got := strings.Count(w.logs.String(), want); got != 2 {
		t.Errorf("told %d times after a restart, want twice", got)
	}
}

func TestSignedPortalsCauseNoWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.writeRules(rule("uploads", w.room, w.dest))
	w.run()
	if strings.Contains(w.logs.String(), "anybody can forge") {
		t.Error("a portal with a secret is called forgeable")
	}
}
