// Package app builds the gateway from its parts and runs it: database, job queue, rules,
// portals, webhook endpoint, routing, dispatch and admin listener.
//
// It is the only package that sees all the others. It holds no logic of an event's way; what
// it decides is the order in which parts start and stop, and that a new version of the rules
// takes effect everywhere at once or nowhere.
package app
