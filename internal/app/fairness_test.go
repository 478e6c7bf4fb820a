package app_test

import (
	"fmt"
	"testing"

	"docspace-router/internal/portalsim"
)

func TestPortalsThatAreDownDoNotHoldUpAHealthyOne(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(p *portalsim.Portal){
		"one refuses connections": nil,
		"one hangs":               func(p *portalsim.Portal) { p.Inject(portalsim.Fault{Kind: portalsim.Hang}) },
		"one hangs at writes":     func(p *portalsim.Portal) { p.Inject(portalsim.Fault{Kind: portalsim.Hang, Method: "PUT"}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const files = 20
			w, sick := newWorld(t, portalsim.Options{}), newWorld(t, portalsim.Options{})
			w.env["SICK_KEY"] = sick.env["DOCSPACE_API_KEY"]
			address := sick.env["DOCSPACE_API_HOST"]
			if trouble == nil {
				address = "http://127.0.0.1:1"
			} else {
				trouble(sick.portal)
			}
			w.replaceRules(fmt.Sprintf("version: 1\nportals:\n"+
				"  healthy: {url: %q, api_key: {env: DOCSPACE_API_KEY}, webhook_secrets: [{env: DOCSPACE_WEBHOOK_SECRET}]}\n"+
				"  sick: {url: %q, api_key: {env: SICK_KEY}, webhook_secrets: [{env: DOCSPACE_WEBHOOK_SECRET}]}\nrules:\n",
				w.env["DOCSPACE_API_HOST"], address) +
				rule("healthy", w.room, w.dest, "portal: healthy") + rule("sick", sick.room, sick.dest, "portal: sick"))
			w.run()
			w.hook(w.portal, w.owner, "healthy")
			sick.gateway = w.gateway
			w.hook(sick.portal, sick.owner, "sick")

			unfinished := func() int {
				s := w.status()
				return s.Events["pending"] + s.Transfers["queued"] + s.Transfers["sending"]
			}
			for i := range files {
				// Each lies in a folder of its own, so that each asks the portal.
				folder := sick.portal.AddFolder(sick.room, fmt.Sprint(i), sick.client)
				sick.portal.Upload(folder, fmt.Sprintf("Sick %d.pdf", i), 10, sick.client)
				w.eventually("each upload is known by itself", func() bool { return unfinished() == i+1 })
			}
			for i := range 3 {
				w.portal.Upload(w.portal.AddFolder(w.room, fmt.Sprint(i), w.client), fmt.Sprintf("Healthy %d.pdf", i), 10, w.client)
				w.eventually("the healthy portal's upload arrives", func() bool { return len(w.portal.List(w.dest)) == i+1 })
				if n := unfinished(); n < files {
					t.Fatalf("only %d transfers of the sick portal are unfinished: nothing is proved", n)
				}
			}
		})
	}
}

func TestAQuietRoomDoesNotWaitForAHotOne(t *testing.T) {
	t.Parallel()
	files := fewer(1000, 200)
	w := newWorld(t, portalsim.Options{Timings: portalsim.Timings{ItemDuration: 100 * portalTime}})
	quiet, forQuiet := w.addRoom("Quiet"), w.addRoom("For the quiet one")
	w.writeRules(rule("hot", w.room, w.dest), rule("quiet", quiet, forQuiet))
	w.start()
	for i := range files {
		w.portal.Upload(w.room, fmt.Sprintf("Hot %04d.pdf", i), 10, w.client)
	}
	w.portal.Upload(quiet, "Quiet.pdf", 10, w.client)
	w.eventually("the quiet room's upload arrives", func() bool { return len(w.portal.List(forQuiet)) == 1 })
	if n := len(w.portal.List(w.dest)); n > files/2 {
		t.Errorf("%d of %d uploads of the hot room had arrived before the quiet room's one", n, files)
	}
}
