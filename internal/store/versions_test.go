package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVersionsOfTheRulesAreKept(t *testing.T) {
	t.Parallel()
	h := open(t)
	save := func(hash, cause, text string) {
		t.Helper()
		h.must(h.SaveRules(h.ctx(), hash, cause, []RuleFile{{Name: "rules.yaml", Hash: hash, Text: []byte(text)}}))
		h.time.advance(time.Minute)
	}
	save("1", "start", "one")
	save("1", "start", "one") // a restart
	save("2", "file changed", "two")
	save("1", "file changed", "one") // what was there before came back
	list, err := h.RuleVersions(h.ctx(), 2)
	h.must(err)
	var got []string
	for _, v := range list {
		got = append(got, v.Hash+" "+v.Cause+" "+string(v.Files[0].Text))
	}
	if diff := cmp.Diff([]string{"1 file changed one", "2 file changed two"}, got); diff != "" {
		t.Errorf("newest versions (-want +got):\n%s", diff)
	}
	for i := range 2 * keptVersions {
		save(string(rune('a'+i)), "file changed", "x")
	}
	list, err = h.RuleVersions(h.ctx(), 1000)
	h.must(err)
	if len(list) != keptVersions {
		t.Errorf("%d versions are kept, want %d", len(list), keptVersions)
	}
}

func TestFlowCountsByMinute(t *testing.T) {
	t.Parallel()
	h := open(t)
	from := h.time.now().Truncate(time.Minute)
	h.route(h.planned())
	h.settle(h.claim(copyLane), "done")
	minutes, err := h.Flow(h.ctx(), from.Add(-time.Minute), from.Add(2*time.Minute))
	h.must(err)
	if len(minutes) != 3 {
		t.Fatalf("%d minutes, want 3", len(minutes))
	}
	if m := minutes[1]; m.Routed != 1 || m.Done != 1 || m.Failed != 0 {
		t.Errorf("the minute in which all happened: %+v", m)
	}
	if m := minutes[2]; m.Routed+m.Done+m.Failed != 0 {
		t.Errorf("the minute after: %+v", m)
	}
}
