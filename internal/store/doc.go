// Package store keeps events, transfers, operations and the last good rules file in a
// database.
//
// It offers one method per step of an event's way, each of them one transaction or one
// statement inside a caller's transaction, and it is the only package that writes SQL. It
// knows nothing of HTTP, of rules or of the job queue, which keeps its tables beside these
// ones in the same database.
package store
