// Package routing works route jobs: for each accepted event it finds the entry's room and
// folders, lets the rules decide, and stores the transfers they ask for.
//
// An event is decided once, by one complete version of the rules. The transfers, the event's
// new state and the end of the job are one transaction, so that a crash leaves the event
// either undecided or decided, and a job that runs twice decides nothing twice. What a rule
// needs and the delivery lacks is asked of the portal, and only then; an event whose portal
// does not answer stays pending and is tried again while the others of its group go on.
package routing
