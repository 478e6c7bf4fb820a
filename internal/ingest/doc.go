// Package ingest is the webhook endpoint: it takes DocSpace's deliveries, checks their
// signatures, and answers only after they are stored.
//
// Concurrent deliveries share one database transaction (a group commit), because an fsync
// costs more than everything else a delivery needs. The package decides nothing about an
// event: no rule is looked at and no call is made to a portal, so that an answer takes
// milliseconds whatever the portals do.
package ingest
