package app_test

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docspace-router/internal/config"
	"docspace-router/internal/event"
	"docspace-router/internal/portalsim"
	"docspace-router/internal/rules"
)

// TestCookbook does what the rule tests of each recipe say in earnest: people upload the files to
// simulated portals, and the gateway must leave exactly what the tests expect, nothing
// missing, nothing more, nothing twice. So rule tests may be believed.
func TestCookbook(t *testing.T) {
	t.Parallel()
	recipes, err := filepath.Glob("../../examples/cookbook/*/rules_test.yaml")
	if err != nil || len(recipes) < 12 {
		t.Fatalf("%d recipes, %v", len(recipes), err)
	}
	for _, file := range recipes {
		tests, err := config.LoadTests(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, cases := range together(tests.Cases) {
			for _, generation := range []int{3, 4} {
				name := filepath.Base(filepath.Dir(file))
				t.Run(fmt.Sprintf("%s %d on generation %d", name, i+1, generation), func(t *testing.T) {
					t.Parallel()
					k := openKitchen(t, tests, cases, generation)
					for _, c := range cases {
						k.serve(c)
					}
					k.check()
				})
			}
		}
	}
}

// together groups the tests that can happen on one portal: at the same time, and without two
// files of one name, which would meet in a destination.
func together(cases []config.Case) (groups [][]config.Case) {
	var titles []map[string]bool
next:
	for _, c := range cases {
		title := strings.ToLower(c.Given.Portal + " " + c.Given.Title)
		for i := range groups {
			if groups[i][0].Given.When.Equal(c.Given.When) && !titles[i][title] {
				groups[i], titles[i][title] = append(groups[i], c), true
				continue next
			}
		}
		groups = append(groups, []config.Case{c})
		titles = append(titles, map[string]bool{title: true})
	}
	return groups
}

// kitchen is a gateway with a recipe's rules, and simulated portals with all the rooms and
// folders that its tests speak of.
type kitchen struct {
	*world
	sites map[string]*site
}

// site is a portal, and what must lie in it at the end.
type site struct {
	portal              *portalsim.Portal
	owner, robot, guest portalsim.UserID
	people              map[string]portalsim.UserID
	places              map[event.ID]*config.Place
	want                []string // paths of files, and of folders with a slash at the end
	done                []string // transfers that must be done, as "rule action title"
}

func openKitchen(t *testing.T, tests *config.Tests, cases []config.Case, generation int) *kitchen {
	t.Helper()
	recipe := filepath.Join(filepath.Dir(tests.Name), "rules.yaml")
	text, err := os.ReadFile(recipe)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(recipe, text, config.Options{Path: recipe, WithoutSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	// The portals' clocks show the time that the tests speak of.
	options := portalsim.Options{Generation: generation, ClockSkew: time.Until(cases[0].Given.When.Add(time.Hour))}
	k := &kitchen{world: newWorld(t, options), sites: map[string]*site{}}
	rulesText := string(text)
	for i, p := range c.Portals {
		s := &site{portal: k.portal, owner: k.owner, robot: k.robot, guest: k.client, people: map[string]portalsim.UserID{}, places: tests.Places}
		if i > 0 {
			other := newWorld(t, options)
			s.portal, s.owner, s.robot, s.guest = other.portal, other.owner, other.robot, other.client
		}
		k.sites[p.Name] = s
		s.furnish()
		// All that is changed about a recipe is where its portals are.
		rulesText = strings.ReplaceAll(rulesText, "https://"+p.Name+".onlyoffice.com", s.portal.URL())
		variable := strings.ToUpper(p.Name) + "_API_KEY"
		if p.Name == config.DefaultPortal {
			variable = config.KeyVariable
		}
		k.env[variable] = s.portal.AddKey(s.robot, "files:write", "rooms:read", "accounts:read", "accounts.self:read")
		k.env[strings.ToUpper(p.Name)+"_WEBHOOK_SECRET"] = secret
	}
	k.replaceRules(rulesText)
	k.run()
	for name, s := range k.sites {
		s.portal.AddWebhook(portalsim.Webhook{
			Name: "router", URL: "http://" + k.gateway.Addr() + "/webhook/" + name, Secret: secret,
			Triggers: []string{"*"}, Owner: s.owner, Enabled: true,
		})
	}
	return k
}

// furnish makes the rooms and folders, under the numbers they have in the recipe.
func (s *site) furnish() {
	made := map[event.ID]bool{}
	for _, place := range s.places {
		chain := place.Chain()
		slices.Reverse(chain)
		for _, p := range chain {
			if made[p.ID] {
				continue
			}
			made[p.ID] = true
			n, _ := strconv.Atoi(string(p.ID))
			s.portal.NumberFolders(n)
			if p.In != nil {
				s.portal.AddFolder(portalsim.ID(p.In.ID), p.Title, s.owner)
				continue
			}
			s.portal.AddRoom(portalsim.Room{
				Title: p.Title, Type: rules.RoomTypeNumber(p.Type), Tags: p.Tags, Owner: s.owner,
				Members: map[portalsim.UserID]portalsim.Access{s.robot: portalsim.RoomManager, s.guest: portalsim.ContentCreator},
			})
		}
	}
	s.portal.NumberFolders(1_000_000)
	s.want = s.contents()
}

// contents lists all there is in the portal's rooms.
func (s *site) contents() []string {
	var out []string
	for _, e := range s.portal.Tree(s.portal.Rooms()) {
		if e.Kind == portalsim.KindFolder {
			e.Path += "/"
		}
		out = append(out, e.Path)
	}
	slices.Sort(out)
	return out
}

// pathOf is a place's path among the rooms.
func (s *site) pathOf(t testing.TB, id event.ID) string {
	t.Helper()
	place := s.places[id]
	if place == nil {
		t.Fatalf("folder %s is not described in the recipe's tests", id)
	}
	at := ""
	for _, p := range place.Chain() {
		at = path.Join(p.Title, at)
	}
	return at
}

// person is whoever a test says it was, or the guest.
func (s *site) person(p *config.Person) portalsim.UserID {
	if p == nil {
		return s.guest
	}
	id, known := s.people[p.Email]
	if !known {
		id = s.portal.AddUser(portalsim.User{DisplayName: p.DisplayName, Email: p.Email})
		for place, at := range s.places {
			if at.In == nil {
				s.portal.SetMember(portalsim.ID(place), id, portalsim.ContentCreator)
			}
		}
		s.people[p.Email] = id
	}
	return id
}

// serve lets the event of a test happen, and notes what must come of it.
func (k *kitchen) serve(c config.Case) {
	k.t.Helper()
	g := c.Given
	s := k.sites[g.Portal]
	if g.Portal == "" {
		s = k.sites[config.DefaultPortal]
	}
	file := s.happen(k, &g)
	e, ok := s.portal.FileByID(file)
	if !ok {
		k.t.Fatalf("%s: no file %s", c.Name, file)
	}
	source, moved := path.Join(s.pathOf(k.t, g.In.ID), e.Title), false
	for _, want := range c.Expect {
		at := s.pathOf(k.t, want.To)
		for title := range strings.SplitSeq(want.Path, "/") {
			if title != "" {
				at = path.Join(at, title)
				if !slices.Contains(s.want, at+"/") {
					s.want = append(s.want, at+"/")
				}
			}
		}
		s.want = append(s.want, path.Join(at, e.Title))
		moved = moved || want.Action == event.Move
		if want.Rule != "" {
			s.done = append(s.done, want.Rule+" "+string(want.Action)+" "+e.Title)
		}
	}
	if !moved {
		s.want = append(s.want, source)
	}
}

// happen does what people do for an event to be sent, and returns the file.
func (s *site) happen(k *kitchen, g *config.Given) portalsim.ID {
	k.t.Helper()
	size := int64(1000)
	if g.Size != nil {
		size = *g.Size
	}
	by, in := s.person(g.By), portalsim.ID(g.In.ID)
	switch {
	case g.Trigger == "file.uploaded" && g.IsForm:
		return s.portal.UploadForm(in, g.Title, size, by)
	case g.Trigger == "file.uploaded":
		return s.portal.Upload(in, g.Title, size, by)
	case g.Trigger == "file.created":
		return s.portal.CreateFile(in, g.Title, by)
	case g.Trigger == event.FormSubmit:
		room := g.In.Chain()[len(g.In.Chain())-1]
		const form = "The form.pdf"
		original := s.portal.AddFile(portalsim.ID(room.ID), portalsim.File{Title: form, Size: 5000, IsForm: true, By: s.owner})
		s.want = append(s.want, path.Join(room.Title, form))
		return s.portal.SubmitForm(original, in, g.Title, size, by)
	}
	k.t.Fatalf("nobody does here what fires %s", g.Trigger)
	return ""
}

// check waits until all is quiet and compares all that lies anywhere.
func (k *kitchen) check() {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	rows := func() (n int) {
		for _, s := range k.sites {
			if err := s.portal.WaitDelivered(ctx); err != nil {
				k.t.Fatalf("deliveries: %v", err)
			}
			n += len(s.portal.DeliveryLog())
		}
		return n
	}
	k.eventually("everything is at rest", func() bool {
		before := rows()
		s := k.status()
		return s.Events["pending"] == 0 && s.Transfers["blocked"]+s.Transfers["queued"]+s.Transfers["sending"] == 0 && before == rows()
	})
	var wantDone, done []string
	for name, s := range k.sites {
		slices.Sort(s.want)
		if diff := cmp.Diff(s.want, s.contents()); diff != "" {
			k.t.Errorf("portal %s (-what the tests say +what there is):\n%s", name, diff)
		}
		wantDone = append(wantDone, s.done...)
	}
	for _, tr := range k.transfers("") {
		if tr.State != "done" {
			k.t.Errorf("a transfer is not done: %+v", tr)
		}
		done = append(done, tr.Rule+" "+tr.Action+" "+tr.Title)
	}
	for _, want := range wantDone {
		if !slices.Contains(done, want) {
			k.t.Errorf("no transfer %q among %q", want, done)
		}
	}
}
