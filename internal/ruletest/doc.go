// Package ruletest runs rule tests: a given event must lead to the expected transfers.
//
// It decides nothing itself. An event becomes the body of a delivery and is read, completed and
// decided by what serve uses for that; only the portal that is asked on the way is made of what
// the test says. It needs no portal, no secret and no database, and does no I/O but reading the
// bodies that tests name.
//
// What a test does not say is not known. A rule that asks for it makes the test fail, as a
// guess would make it prove nothing.
package ruletest
