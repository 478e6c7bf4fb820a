// Command chaos runs the real gateway against a simulated portal while everything goes wrong:
// processes are killed, answers lost, operations dropped, keys revoked, rules files broken, and
// meanwhile an operator pauses, cancels, tries again and replays through the admin API. Each
// round ends with the faults removed and compares what the portal then holds with what the rules
// say, by a model that shares no code with the gateway.
//
// A round follows from its seed: rooms, rules, what people do and when, faults, kills and what the
// operator asks for. How threads and processes interleave does not, so that a seed brings the same
// round back, but not always its failure.
//
// What the model cannot know it allows, and says where (see compare.go); everything else that
// differs is a transfer lost, doubled or left without an outcome.
package main
