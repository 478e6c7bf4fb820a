// Package rules decides which transfers an event causes.
//
// Compile turns rules as written (Spec) into an immutable Table. Match answers what an event
// leads to, Needs what must still be learned about the event before Match can answer, and
// Explain why each rule did or did not match.
//
// The package is pure: it reads no file, asks no portal and keeps no clock. Whoever calls it
// brings the facts. A condition that fails, panics or runs too long is never a match; it is
// reported beside the matches instead. A Table may be used by any number of goroutines.
package rules
