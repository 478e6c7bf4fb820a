// Package ui is the part of the admin listener that people use: pages rendered on the server,
// which htmx and server-sent events keep fresh where scripts may run.
//
// Everything it serves is embedded. It asks the database and the gateway's own functions, never
// the admin API, and a slow portal never holds a page up: names that are not known yet are shown
// as ids. It shows no secret, also none that stands in the rules file.
package ui
