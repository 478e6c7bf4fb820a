// Package demo shows the gateway at work: a simulated portal, the real gateway and a few
// people who upload files, all in one process on loopback addresses.
//
// Every claim it prints is checked against the portal's own listing. It refuses to reach
// anything beyond this machine.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"docspace-router/internal/app"
	"docspace-router/internal/portalsim"
)

// Options configures a demo.
type Options struct {
	Out     io.Writer
	Once    bool // verify what is shown and end
	Version string
	Dir     string // for the database and the rules file; default a temporary folder, removed at the end

	// Patience is how long the demo waits for what must happen; default 20 s.
	Patience time.Duration
}

// Run runs the demo. With Once it fails when anything shown is not as it should be; without,
// it ends with ctx.
func Run(ctx context.Context, o Options) (err error) {
	if o.Patience == 0 {
		o.Patience = 20 * time.Second
	}
	dir := o.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "docspace-router-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	s, err := newStage(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := s.close(); err == nil {
			err = closeErr
		}
	}()
	s.introduce()
	if o.Once {
		return s.perform(ctx)
	}
	return s.goOn(ctx)
}

const webhookSecret = "Demo-Secret-2026"

// stage is everything that takes part.
type stage struct {
	out       io.Writer
	portal    *portalsim.Portal
	gateway   *app.App
	rulesFile string
	variables map[string]string
	patience  time.Duration
	stop      context.CancelFunc
	ended     chan error

	client                   portalsim.UserID
	room, below, other, dest portalsim.ID
	contracts                portalsim.ID
	hook                     int
	forger                   string // the secret that forged deliveries are signed with
}

// newStage builds the portal and starts the gateway.
func newStage(ctx context.Context, o Options, dir string) (s *stage, err error) {
	s = &stage{
		out: o.Out, rulesFile: filepath.Join(dir, "rules.yaml"), patience: o.Patience, ended: make(chan error, 1),
		forger: "wrong-secret",
	}
	s.portal = portalsim.New(portalsim.Options{
		AllowPrivateTargets: true, // the gateway listens on loopback
		FirstFileID:         90_001,
		FirstFolderID:       7_001,
		Timings: portalsim.Timings{
			QueuePause:   200 * time.Millisecond,
			RetryWaits:   []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second},
			ItemDuration: 20 * time.Millisecond,
		},
	})
	portal := s.portal
	url := portal.Start()
	defer func() {
		if err != nil {
			portal.Close()
		}
	}()

	owner := s.portal.AddUser(portalsim.User{DisplayName: "Olivia Owner", Owner: true, Admin: true})
	robot := s.portal.AddUser(portalsim.User{DisplayName: "docspace-router", RoomAdmin: true})
	s.client = s.portal.AddUser(portalsim.User{DisplayName: "Clara Client", Guest: true})
	members := map[portalsim.UserID]portalsim.Access{robot: portalsim.RoomManager, s.client: portalsim.ContentCreator}
	s.room = s.portal.AddRoom(portalsim.Room{Title: "Acme - Shared with Client", Owner: owner, Members: members})
	s.below = s.portal.AddFolder(s.room, "2026", owner)
	s.other = s.portal.AddRoom(portalsim.Room{Title: "Holiday photos", Owner: owner, Members: members})
	inside := map[portalsim.UserID]portalsim.Access{robot: portalsim.RoomManager}
	s.dest = s.portal.AddRoom(portalsim.Room{Title: "Acme - Internal", Owner: owner, Members: inside})
	s.contracts = s.portal.AddRoom(portalsim.Room{Title: "Legal - Contracts", Owner: owner, Members: inside})
	key := s.portal.AddKey(robot, "files:write", "rooms:read", "accounts.self:read", "*:write")
	s.variables = map[string]string{
		"DOCSPACE_API_HOST": url, "DOCSPACE_API_KEY": key, "DOCSPACE_WEBHOOK_SECRET": webhookSecret,
	}

	if err := os.WriteFile(s.rulesFile, []byte(s.rules(false)), 0o600); err != nil {
		return nil, err
	}
	if s.gateway, err = app.New(ctx, app.Options{
		Rules:       s.rulesFile,
		Listen:      "127.0.0.1:0",
		AdminListen: "127.0.0.1:0",
		Database:    "sqlite://" + filepath.Join(dir, "demo.db"),
		LookupEnv:   func(name string) (string, bool) { v, ok := s.variables[name]; return v, ok },
		Version:     o.Version,
		Logger:      quiet(),
	}); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go func() { s.ended <- s.gateway.Run(run) }()

	s.hook = s.portal.AddWebhook(portalsim.Webhook{
		Name: "docspace-router", URL: "http://" + s.gateway.Addr() + "/webhook", Secret: webhookSecret,
		Triggers: []string{"file.created", "file.uploaded", "file.copied", "file.moved"}, Owner: robot, Enabled: true,
	})
	return s, nil
}

// close stops the gateway and then the portal.
func (s *stage) close() error {
	s.stop()
	err := <-s.ended
	s.portal.Close()
	if err != nil {
		return fmt.Errorf("the gateway did not stop cleanly: %w", err)
	}
	return nil
}

// rules is the rules file, at first with one rule.
func (s *stage) rules(withContracts bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
rules:
  - name: acme-uploads
    description: What Acme uploads appears in our internal room
    triggers: [file.uploaded, file.created]
    source:
      room: %s
    when: file.extension in ["pdf", "docx", "xlsx"]
    action: copy
    destination:
      folder: %s
`, s.room, s.dest)
	if withContracts {
		fmt.Fprintf(&b, `
  - name: acme-contracts
    description: Signed contracts also go to Legal
    triggers: [file.uploaded, file.created]
    source:
      room: %s
    when: file.name contains "signed"
    action: copy
    destination:
      folder: %s
`, s.room, s.contracts)
	}
	return b.String()
}

func (s *stage) introduce() {
	s.say("A simulated DocSpace portal listens on %s, the gateway on http://%s.", s.variables["DOCSPACE_API_HOST"], s.gateway.Addr())
	s.say("Its admin listener is http://%s (/api/v1/status, /api/v1/events, /api/v1/transfers, /metrics).", s.gateway.AdminAddr())
	s.say("Room %s is \"Acme - Shared with Client\", room %s \"Acme - Internal\". The rules file is", s.room, s.dest)
	s.say("%s:\n\n%s", s.rulesFile, indent(s.rules(false)))
}

func (s *stage) say(format string, args ...any) {
	fmt.Fprintf(s.out, format+"\n", args...)
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}
