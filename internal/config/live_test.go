package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// kept is a LastGood in memory.
type kept struct {
	mu    sync.Mutex
	files []File
	err   error
	saves int
}

func (k *kept) Load(context.Context) ([]File, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.files, k.err
}

func (k *kept) Save(_ context.Context, _ string, files []File) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.saves++
	if k.err != nil {
		return k.err
	}
	k.files = files
	return nil
}

func (k *kept) set(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func (k *kept) names() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, f := range k.files {
		out = append(out, string(f.Text))
	}
	return strings.Join(out, "\n")
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fast is a Live's options with short times.
func fast(path string) LiveOptions {
	return LiveOptions{
		Options:  Options{Path: path, LookupEnv: onePortal()},
		Interval: 20 * time.Millisecond, Debounce: 5 * time.Millisecond,
	}
}

// byHintOnly leaves a Live nothing but notifications.
func byHintOnly(o LiveOptions) LiveOptions {
	o.Interval = time.Hour
	return o
}

// newLive makes a Live and runs it until the test ends.
func newLive(t *testing.T, o LiveOptions) *Live {
	t.Helper()
	l, err := NewLive(t.Context(), o)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return l
}

// first is the name of the first rule in use.
func first(l *Live) string { return l.Current().Rules.Rules()[0].Name }

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

func uses(t *testing.T, l *Live, name string) {
	t.Helper()
	eventually(t, "rule "+name+" in use", func() bool { return first(l) == name && l.Status().LastError == nil })
}

func refuses(t *testing.T, l *Live, text string) {
	t.Helper()
	eventually(t, "refusal with "+text, func() bool {
		err := l.Status().LastError
		return err != nil && strings.Contains(err.Error(), text)
	})
}

func TestBadFilesLeaveTheRulesAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "rules.yaml")
	write(t, path, minimal("good"))
	reg := prometheus.NewRegistry()
	var log logBuffer
	o := fast(path)
	o.Registerer, o.Logger = reg, slog.New(slog.NewTextHandler(&log, nil))
	l := newLive(t, o)
	before := l.Current()
	for _, c := range []struct{ text, want string }{
		{strings.Replace(minimal("bad"), "copy", "kopy", 1), `rules.yaml:3:71: rules[0].action: unknown action "kopy", did you mean copy?`},
		{"", "rules.yaml:1:1: the file is empty"},
		{"version: [", "this is not YAML"},
		{"<gone>", "rules.yaml: does not exist"},
	} {
		if c.text == "<gone>" {
			must(t, os.Remove(path))
		} else {
			write(t, path, c.text)
		}
		refuses(t, l, c.want)
		if l.Current() != before {
			t.Fatalf("after %q the configuration was swapped", c.text)
		}
		s := l.Status()
		if s.Hash != before.Hash() || s.Cause != "start" || !s.LastAttempt.After(s.LoadedAt) {
			t.Errorf("after %q the status is %+v", c.text, s)
		}
		eventually(t, "the log tells", func() bool { // which it does after the status
			return strings.Contains(log.String(), "component=config status=failed cause=\"file changed\" hash="+before.Hash())
		})
	}
	if got := gauge(t, reg, "docspace_router_config_last_reload_successful"); got != 0 {
		t.Errorf("last_reload_successful = %v", got)
	}
	write(t, path, minimal("better"))
	uses(t, l, "better")
	if got := gauge(t, reg, "docspace_router_config_last_reload_successful"); got != 1 {
		t.Errorf("last_reload_successful = %v", got)
	}
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestReload(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, minimal("v1"))
	reg := prometheus.NewRegistry()
	store := &kept{}
	var applied []string
	var refuse error
	o := fast(path)
	o.Registerer, o.LastGood = reg, store
	var logs bytes.Buffer // written by this goroutine alone
	o.Logger = slog.New(slog.NewTextHandler(&logs, nil))
	o.Apply = func(_ context.Context, next *Config) error {
		applied = append(applied, next.Rules.Rules()[0].Name)
		return refuse
	}
	l, err := NewLive(t.Context(), o)
	must(t, err)
	if len(applied) != 0 {
		t.Error("Apply was called for the first version")
	}
	if _, err := NewLive(t.Context(), o); err == nil {
		t.Error("two Lives share a registry")
	}

	before := l.Current()
	must(t, l.Reload(t.Context(), "signal"))
	if l.Current() != before || len(applied) != 0 || store.saves != 1 {
		t.Error("unchanged content was swapped")
	}
	if !strings.Contains(logs.String(), "status=unchanged") || strings.Contains(logs.String(), "errors gone") {
		t.Errorf("log:\n%s", &logs)
	}

	write(t, path, minimal("v2"))
	must(t, l.Reload(t.Context(), "signal"))
	s := l.Status()
	if first(l) != "v2" || s.Cause != "signal" || s.LastError != nil || s.Hash != l.Current().Hash() {
		t.Errorf("%s, %+v", first(l), s)
	}
	if store.names() != minimal("v2") {
		t.Errorf("kept %q", store.names())
	}
	if !strings.Contains(logs.String(), "added=[v2] removed=[v1]") {
		t.Errorf("the differences are not logged:\n%s", &logs)
	}

	write(t, path, minimal("v3"))
	refuse = errors.New("the portal is unknown to the client")
	if err := l.Reload(t.Context(), "api"); !errors.Is(err, refuse) {
		t.Errorf("Reload: %v", err)
	}
	if first(l) != "v2" || !errors.Is(l.Status().LastError, refuse) || store.names() != minimal("v2") {
		t.Errorf("a refused version is in use: %s, %+v", first(l), l.Status())
	}
	if !strings.Contains(logs.String(), `reason="the version before stays in use"`) {
		t.Errorf("what is in use is not logged:\n%s", &logs)
	}

	write(t, path, "rules: []")
	var problems Problems
	if err := l.Reload(t.Context(), "api"); !errors.As(err, &problems) || len(problems) != 2 {
		t.Errorf("Reload: %v", err)
	}

	// The old content comes back: nothing to swap, and all is well again.
	write(t, path, minimal("v2"))
	must(t, l.Reload(t.Context(), "api"))
	if s := l.Status(); s.LastError != nil || s.Cause != "signal" {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(logs.String(), `status="errors gone" cause=api`) {
		t.Errorf("log:\n%s", &logs)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Reload(ctx, "api"); !errors.Is(err, context.Canceled) {
		t.Errorf("Reload: %v", err)
	}
	if diff := cmp.Diff([]string{"v2", "v3"}, applied); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
	want := `
# HELP docspace_router_config_reloads_total Attempts to reload the rules file, by result.
# TYPE docspace_router_config_reloads_total counter
docspace_router_config_reloads_total{result="failure"} 2
docspace_router_config_reloads_total{result="success"} 3
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "docspace_router_config_reloads_total"); err != nil {
		t.Error(err)
	}
	if got := gauge(t, reg, "docspace_router_config_hash"); fmt.Sprintf("%012x", int64(got)) != l.Current().Hash()[:12] {
		t.Errorf("hash metric %v, hash %s", got, l.Current().Hash())
	}
	if got := gauge(t, reg, "docspace_router_config_last_reload_success_timestamp_seconds"); time.Since(time.UnixMilli(int64(got*1000))) > time.Minute {
		t.Errorf("success timestamp %v", got)
	}
}

// TestAPanicIsARefusal has what the program gives to a Live panic: it is told of like any other reason
// not to use new rules, and tried again.
func TestAPanicIsARefusal(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"load", "apply"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "rules.yaml")
			write(t, path, minimal("v1"))
			var mistake atomic.Bool
			meet := func(where string) {
				if where == at && mistake.Load() {
					panic("a mistake")
				}
			}
			reg := prometheus.NewRegistry()
			o := fast(path)
			lookup := o.LookupEnv
			o.LookupEnv = func(name string) (string, bool) { meet("load"); return lookup(name) }
			o.Apply = func(context.Context, *Config) error { meet("apply"); return nil }
			o.Registerer = reg
			l := newLive(t, o)
			mistake.Store(true)
			write(t, path, minimal("v2"))
			refuses(t, l, "panic: a mistake")
			if err := l.Reload(t.Context(), "signal"); err == nil || !strings.Contains(err.Error(), "panic: a mistake") {
				t.Errorf("Reload: %v", err)
			}
			if ok := gauge(t, reg, "docspace_router_config_last_reload_successful"); first(l) != "v1" || ok != 0 {
				t.Errorf("rule %s is in use, and the metric says %v", first(l), ok)
			}
			mistake.Store(false)
			uses(t, l, "v2")
		})
	}
}

func TestAPanicAtStartLeavesTheLastGoodVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, minimal("v1"))
	o := fast(path)
	o.LastGood = &kept{}
	_, err := NewLive(t.Context(), o)
	must(t, err)
	write(t, path, minimal("v2"))
	lookup, calls := o.LookupEnv, 0
	o.LookupEnv = func(name string) (string, bool) {
		if calls++; calls == 1 {
			panic("a mistake")
		}
		return lookup(name)
	}
	l, err := NewLive(t.Context(), o)
	must(t, err)
	if s := l.Status(); first(l) != "v1" || !s.FromLastGood || s.LastError == nil {
		t.Errorf("%s, %+v", first(l), s)
	}
}

func TestStartWithTheLastGoodVersion(t *testing.T) {
	t.Parallel()
	good := File{Name: "rules.yaml", Text: []byte(minimal("kept"))}
	bad := File{Name: "rules.yaml", Text: []byte("rules: []")}
	for name, c := range map[string]struct {
		text  string // "" for no file
		store *kept
		want  string // of the error, "" when it starts
	}{
		"a bad file":                        {text: "version: 1", store: &kept{files: []File{good}}},
		"a missing file":                    {store: &kept{files: []File{good}}},
		"a bad file and nothing kept":       {text: "version: 1", store: &kept{}, want: "rules.yaml:1:1: rules is missing, add a list of rules"},
		"a bad file and a bad version kept": {text: "version: 1", store: &kept{files: []File{bad}}, want: "rules.yaml:1:1: rules is missing, add a list of rules"},
		"a bad file and a broken store":     {text: "version: 1", store: &kept{err: errors.New("disk")}, want: "rules.yaml:1:1: rules is missing, add a list of rules"},
		"a missing file and no store":       {want: "rules.yaml: does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "rules.yaml")
			if c.text != "" {
				write(t, path, c.text)
			}
			o := fast(path)
			o.Registerer = prometheus.NewRegistry()
			if c.store != nil {
				o.LastGood = c.store
			}
			if c.want != "" {
				if _, err := NewLive(t.Context(), o); err == nil || !strings.HasSuffix(err.Error(), c.want) {
					t.Errorf("NewLive: %v", err)
				}
				return
			}
			l := newLive(t, o)
			if s := l.Status(); first(l) != "kept" || !s.FromLastGood || s.LastError == nil {
				t.Errorf("%s, %+v", first(l), s)
			}
			// The very same text in the file is a success all the same.
			write(t, path, minimal("kept"))
			eventually(t, "the file in use", func() bool { s := l.Status(); return !s.FromLastGood && s.LastError == nil })
		})
	}
}

func TestReloadWhileReading(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, minimal("v0"))
	l := newLive(t, fast(path))
	var readers, writers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if c := l.Current(); c.Rules.Len() != 1 || l.Status().Hash == "" {
					t.Error("half a configuration")
					return
				}
			}
		})
	}
	for w := range 2 {
		writers.Go(func() {
			for i := range 30 {
				temp := fmt.Sprintf("%s.%d", path, w)
				if os.WriteFile(temp, []byte(minimal(fmt.Sprintf("v%d-%d", w, i))), 0o600) == nil {
					_ = os.Rename(temp, path)
				}
				_ = l.Reload(context.Background(), "test")
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	must(t, l.Reload(t.Context(), "test"))
}

func TestNewLiveWantsAPath(t *testing.T) {
	t.Parallel()
	if _, err := NewLive(t.Context(), LiveOptions{}); err == nil {
		t.Error("no error")
	}
}
