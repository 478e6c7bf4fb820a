package main

import (
	"slices"
	"time"

	"docspace-router/internal/portalsim"
)

// cast is the portal with its people.
type cast struct {
	portal               *portalsim.Portal
	url                  string
	owner, robot, client portalsim.UserID
	attic                portalsim.ID // a room that no rule is about
}

// Times of the simulated portal. The gateway's --pace keeps to their proportions: an operation
// without progress is over after at most operationTTL + cleanEvery, as on DocSpace after 60 to
// 70 s, and the gateway waits longer than that before it takes a lost one for over.
const (
	operationTTL = 400 * time.Millisecond
	cleanEvery   = 50 * time.Millisecond
	settleAfter  = 1500 * time.Millisecond
)

// pace is what serve gets as --pace.
const pace = `{"reload":"150ms","portal_pause":"150ms","poll":"40ms","settle_after":"1500ms","retry_first":"50ms","sweep":"150ms"}`

const webhookSecret = "Chaos-Secret-2026"

func newCast(s *scenario, seed uint64) *cast {
	retries := slices.Repeat([]time.Duration{150 * time.Millisecond}, 3)
	for i := range s.rng.IntN(8) {
		retries = append(retries, time.Duration(i+1)*100*time.Millisecond)
	}
	p := portalsim.New(portalsim.Options{
		Generation: s.generation, AllowPrivateTargets: true, Seed: seed | 1,
		Limits: portalsim.Limits{RequestsPerMinute: -1, WritesPerDay: -1, SensitiveCalls: -1},
		Timings: portalsim.Timings{
			QueuePause: 20 * time.Millisecond, RetryWaits: retries, AttemptTimeout: 3 * time.Second,
			ItemDuration: time.Duration(s.rng.IntN(5)) * time.Millisecond, OperationTTL: operationTTL, CleanInterval: cleanEvery,
		},
	})
	c := &cast{portal: p, url: p.Start()}
	c.owner = p.AddUser(portalsim.User{DisplayName: "Owner", Owner: true, Admin: true})
	c.robot = p.AddUser(portalsim.User{DisplayName: "Robot", RoomAdmin: true})
	c.client = p.AddUser(portalsim.User{DisplayName: "Client", Guest: true})
	c.attic = c.addRoom("Attic")
	return c
}

func (c *cast) addRoom(title string) portalsim.ID {
	return c.portal.AddRoom(portalsim.Room{Title: title, Owner: c.owner, Members: map[portalsim.UserID]portalsim.Access{
		c.robot: portalsim.RoomManager, c.client: portalsim.ContentCreator,
	}})
}

func (c *cast) newKey() string {
	return c.portal.AddKey(c.robot, "files:write", "rooms:read", "accounts.self:read")
}

func (c *cast) addWebhooks(url string, n int) {
	for range n {
		c.portal.AddWebhook(portalsim.Webhook{
			Name: "router", URL: url + "/webhook", Secret: webhookSecret, Triggers: []string{"*"}, Owner: c.owner, Enabled: true,
		})
	}
}
