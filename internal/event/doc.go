// Package event holds the domain's nouns and turns the body of a DocSpace webhook
// delivery into an Event.
//
// It knows the bodies of both server generations (3.x and the next one) and the flat
// forms read by the public DocSpace sample, and it checks a delivery's signature over
// the raw bytes. It does no I/O, keeps no state and knows nothing of rules, databases
// or HTTP; every other package may import it and it imports none of them.
package event
