// Package preflight checks, before the gateway is started, whether the portals are as the rules
// take them to be: reachable, with a key that suffices, with the rooms and folders that the rules
// name, the rights that their actions need, and a webhook that tells of what they wait for.
//
// It only reads. What it finds it puts where it is written in the rules file, with what to do
// about it. A portal that cannot be asked is one finding, and hides nothing about the others.
package preflight
