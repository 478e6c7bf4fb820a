// Package webhook looks after the gateway's own webhook on each portal: that it exists, is enabled,
// points to the gateway and subscribes to what the rules need. DocSpace disables a webhook for one
// failed delivery after three quiet days and deletes it when its address becomes a forbidden one,
// and logs no events for it from then on.
//
// It refuses to touch a webhook that is not the gateway's: its own are those that point to it and
// those that bear the name it gives them.
package webhook
