// Package dispatch works lane jobs: it sends a lane's queued transfers to the portal in
// batches, follows each operation to its end, and finds out what became of every entry.
//
// A lane has one job and one operation at a time, so that transfers which arrive meanwhile
// leave together in the next call. An operation's row is written before the call. Whatever
// happens after that, a crash, a lost answer, an operation the portal forgot, the lane first
// settles what it began: it believes only entries that it sees, in the operation's result or
// in the destination, and sends again only what is certainly not there.
package dispatch
