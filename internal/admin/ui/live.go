package ui

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"
)

const (
	beatEvery  = time.Second
	quietAfter = 15 * time.Second // a comment after this long keeps proxies from giving up
	// countedBy is how long after a change nobody is given counts from before it any more.
	countedBy = countsFor + beatEvery
)

// beat names the state of everything the pages show: two equal ones mean that a page would come
// out the same. While somebody watches, the database is asked about it once a second, whoever
// many they are; a replica's own changes and another's are seen alike.
func (u *UI) beat(ctx context.Context) string {
	text, err := u.pulse.get(ctx, beatEvery*9/10, func(ctx context.Context) (string, error) {
		p, err := u.o.Store.Pulse(ctx)
		if err != nil {
			return "", err
		}
		r := u.o.Rules()
		state := fmt.Sprintf("%v|%s|%s|%v|%d", p, r.Status.Hash, r.Status.LoadedAt, r.Status.LastError, u.o.Names.Version())
		pauses, err := u.o.Store.Pauses(ctx)
		if err != nil {
			return "", err
		}
		backfills, err := u.backfillBeat(ctx)
		if err != nil {
			return "", err
		}
		state += fmt.Sprint(pauses) + backfills
		for _, portal := range u.o.Portals() {
			state += "|" + portal.Name + portal.Health.Reason
		}
		sum := sha256.Sum256([]byte(state))
		return hex.EncodeToString(sum[:8]), nil
	})
	if err != nil {
		u.log.Debug("pulse not read", "err", err)
		return "unknown"
	}
	return text
}

// live tells a page whenever something has changed since it was made. A page that shows counts,
// which may be a little older than the page, is told once more when they are sure to be new.
func (u *UI) live(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	stream := http.NewResponseController(w)
	// The stream outlives the time that a request may take to be read.
	_ = stream.SetReadDeadline(time.Time{})
	seen := r.Header.Get("Last-Event-ID")
	if seen == "" {
		seen = r.FormValue("seen")
	}
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	counted := r.FormValue("counted") != ""
	written, changed := time.Time{}, u.now()
	for {
		now := u.now()
		beat := u.beat(r.Context())
		old := counted && !changed.IsZero() && now.Sub(changed) >= countedBy
		switch {
		case beat != seen, old:
			if changed = now; beat == seen {
				changed = time.Time{}
			}
			seen, written = beat, now
			fmt.Fprintf(w, "event: change\nid: %s\ndata: %s\n\n", beat, beat)
		case now.Sub(written) > quietAfter:
			written = now
			fmt.Fprint(w, ": nothing new\n\n")
		}
		if stream.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-u.o.Stopping:
			return
		}
	}
}
