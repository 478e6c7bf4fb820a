// Package catchup takes in the deliveries that a portal logged for the gateway's webhook and the
// gateway has never stored: DocSpace retries a delivery for about half a minute and then forgets
// it, so a gateway that only listens loses what happens while it is away.
//
// What decides is whether the gateway has stored a row, not what the portal says became of it: a
// webhook that was pointed elsewhere was answered, too. Rows go the same way as deliveries, the
// oldest first, a few at a time and only while little else waits.
//
// It refuses to change anything on the portal, and it cannot help where nothing was logged: while
// a webhook is disabled or deleted, the portal notes nothing.
package catchup
