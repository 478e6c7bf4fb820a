// Package explain tells what the rules make of one event: for every rule whether it matches,
// and if not, which condition failed first and what was found instead.
//
// It decides nothing itself: the verdicts are those of package rules. It adds which of them
// could turn round if the portal were asked, and the words and the JSON that people and
// scripts are told.
package explain
