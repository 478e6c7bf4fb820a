// Package backfill routes what lay in a rule's sources before the rule did: it walks them on the
// portal and presents each entry as the event that its upload would have been.
//
// The walk is a job that reads a page of a folder at a time. What a page led to, events and
// transfers, is stored in the transaction that stores how far the folder is read, so that a crash
// repeats nothing. A backfill never hurries: its transfers have lanes of their own and job queues
// of their own, take only what the day's budget of writes can spare, and no more than a few
// thousand of them wait at a time.
package backfill
