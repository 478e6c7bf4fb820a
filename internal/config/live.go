package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"docspace-router/internal/guard"
	"docspace-router/internal/rules"
)

// LastGood keeps the files of the last version that was in use, so that a restart amid a bad
// rules file still routes.
type LastGood interface {
	Load(ctx context.Context) ([]File, error) // no files and no error: nothing is kept
	// Save keeps the files of the version in use. Cause is what made the program load it.
	Save(ctx context.Context, cause string, files []File) error
}

// LiveOptions are the options of a Live.
type LiveOptions struct {
	Options

	// Apply does everything of the program's that can fail with the next version. It is called
	// before the version takes effect; an error keeps the present one. It is not called for
	// the first version, from which the program is built. nil: nothing to do.
	Apply func(ctx context.Context, next *Config) error

	LastGood LastGood      // nil: none
	Interval time.Duration // between content checks; default 5 s
	Debounce time.Duration // how long a change must stand still; default 200 ms

	// NoWatcher leaves changes to the content check alone, for file systems that send no
	// notifications. Default false.
	NoWatcher bool

	Logger     *slog.Logger          // nil: no logging
	Registerer prometheus.Registerer // nil: no metrics
}

// Status says which version is in use and how the latest attempt to load one went.
type Status struct {
	Hash         string
	LoadedAt     time.Time
	Cause        string // what made the program load the version in use
	LastAttempt  time.Time
	LastError    error // nil after a success; Problems where files are to blame
	FromLastGood bool  // the version in use is the one kept from an earlier run
	// Partly says that in place of files of the directory with problems their last good versions
	// are in use, or nothing where there are none, while the others are as they stand.
	Partly bool
}

// Live is a Config that follows its file.
type Live struct {
	o       LiveOptions
	logger  *slog.Logger
	metrics *metrics
	current atomic.Pointer[Config]
	status  atomic.Pointer[Status]

	// reloading serialises attempts; it guards the fields below.
	reloading   sync.Mutex
	loaded      string   // fingerprint of the version in use
	attempted   string   // fingerprint of the latest attempt
	secretPaths []string // the secret files of the latest attempt
	refused     bool     // the latest attempt failed in Apply, or panicked, which may pass later
	unsaved     bool     // the version in use could not be saved as the last good one
}

// The causes of a load that this package knows of itself.
const (
	causeStart = "start"
	causeWatch = "file changed"
	causeRetry = "retry"
)

// NewLive loads the rules file. When that is bad or missing and LastGood has a version that is
// still valid, it starts with that one and records the error. It starts no goroutine: Run
// does the watching.
func NewLive(ctx context.Context, o LiveOptions) (*Live, error) {
	if o.Path == "" {
		return nil, errors.New("config: LiveOptions.Path is required")
	}
	if o.Interval <= 0 {
		o.Interval = 5 * time.Second
	}
	if o.Debounce <= 0 {
		o.Debounce = 200 * time.Millisecond
	}
	l := &Live{o: o, logger: o.Logger}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	l.logger = l.logger.With("component", "config")
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	l.metrics = m

	l.reloading.Lock()
	defer l.reloading.Unlock()
	started := time.Now()
	files := l.keptFiles(ctx)
	var next *Config
	var print string
	err = guard.Call(func() (err error) { next, print, err = l.load(files); return err })
	if next == nil {
		if next = l.lastGood(files); next == nil {
			return nil, err
		}
		l.use(next, "", Status{Cause: causeStart, FromLastGood: true})
		l.failed(started, causeStart, err)
		return l, nil
	}
	l.use(next, print, Status{Cause: causeStart, Partly: err != nil})
	l.save(ctx)
	if err != nil {
		l.failed(started, causeStart, err)
		return l, nil
	}
	l.logged(started, causeStart, "loaded", nil)
	return l, nil
}

// Current returns the version in use. It is never nil.
func (l *Live) Current() *Config { return l.current.Load() }

// Status tells how things stand.
func (l *Live) Status() Status { return *l.status.Load() }

// Reload loads the file and puts the result into use as a whole, or leaves everything as it
// was and returns why. Content that is in use already is a success that changes nothing. A panic
// is one more reason not to use what there is.
func (l *Live) Reload(ctx context.Context, cause string) error {
	l.reloading.Lock()
	defer l.reloading.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	started := time.Now()
	err := guard.Call(func() error { return l.reload(ctx, started, cause) })
	var p *guard.Panic
	if errors.As(err, &p) {
		l.attempted, l.refused = fingerprintOnDisk(l.o.Path, l.secretPaths), true
		l.failed(started, cause, err)
	}
	return err
}

func (l *Live) reload(ctx context.Context, started time.Time, cause string) error {
	next, print, err := l.load(l.Current().Files)
	switch {
	case next == nil, err != nil && print == l.loaded:
		l.failed(started, cause, err)
		return err
	case print == l.loaded:
		status := "unchanged"
		if l.Status().LastError != nil {
			// What is in use was in use all along.
			status = "errors gone"
		}
		l.succeeded()
		l.logged(started, cause, status, nil)
		return nil
	}
	if l.o.Apply != nil {
		if err := l.o.Apply(ctx, next); err != nil {
			l.refused = true
			err = fmt.Errorf("apply the new configuration: %w", err)
			l.failed(started, cause, err)
			return err
		}
	}
	changes := differences(l.Current(), next)
	l.use(next, print, Status{Cause: cause, Partly: err != nil})
	l.save(ctx)
	if err != nil {
		l.failed(started, cause, err, changes...)
		return err
	}
	l.logged(started, cause, "loaded", nil, changes...)
	return nil
}

// load reads and checks the files and notes what was tried. Of a directory, files with problems
// are replaced by what good holds of them: then there is both a Config and an error.
func (l *Live) load(good []File) (*Config, string, error) {
	l.refused = false
	files, isDir, fileErr := readRules(l.o.Path)
	if fileErr != nil {
		// The secret files of the attempt before stay watched: they belong to the version in
		// use, which may be what comes back.
		l.attempted = fingerprintOnDisk(l.o.Path, l.secretPaths)
		return nil, "", fileErr
	}
	next, secrets, problems := assemble(files, good, l.o.Options, isDir)
	l.watchSecrets(secrets)
	l.attempted = fingerprint(rulesSum(files, nil), secrets)
	if len(problems) > 0 {
		return next, l.attempted, problems
	}
	return next, l.attempted, nil
}

func (l *Live) watchSecrets(secrets []secretFile) {
	l.secretPaths = nil
	for _, s := range secrets {
		l.secretPaths = append(l.secretPaths, s.path)
	}
}

// use is the one swap.
func (l *Live) use(next *Config, print string, s Status) {
	now := time.Now()
	l.loaded = print
	l.current.Store(next)
	s.Hash, s.LoadedAt, s.LastAttempt = next.Hash(), now, now
	l.status.Store(&s)
	l.metrics.inUse(next)
	if !s.FromLastGood && !s.Partly {
		l.metrics.succeeded(now, s.Cause != causeStart)
	}
}

// succeeded notes that the file holds what is in use.
func (l *Live) succeeded() {
	s := l.Status()
	s.LastAttempt, s.LastError = time.Now(), nil
	l.status.Store(&s)
	l.metrics.succeeded(s.LastAttempt, true)
}

func (l *Live) failed(started time.Time, cause string, err error, more ...any) {
	s := l.Status()
	s.LastAttempt, s.LastError = time.Now(), err
	l.status.Store(&s)
	l.metrics.failed(cause != causeStart)
	l.logged(started, cause, "failed", err, more...)
}

// logged writes the one line of an attempt, with what is in use after it.
func (l *Live) logged(started time.Time, cause, status string, err error, more ...any) {
	s := l.Status()
	attrs := append([]any{
		"status", status, "cause", cause, "hash", s.Hash, "rules", l.Current().Rules.Len(), "portals", len(l.Current().Portals),
		"duration_ms", time.Since(started).Milliseconds(),
	}, more...)
	if err == nil {
		l.logger.Info("configuration read", attrs...)
		if warnings := l.Current().Warnings; len(warnings) > 0 && status == "loaded" {
			l.logger.Warn("configuration has warnings", "err", brief(warnings))
		}
		return
	}
	attrs = append(attrs, "err", brief(err))
	switch {
	case s.FromLastGood:
		attrs = append(attrs, "reason", "the last good version from the database is in use")
	case s.Partly:
		attrs = append(attrs, "reason", "in place of each file with problems its last good version is in use, if it has one; the other files are in use as they are")
	default:
		attrs = append(attrs, "reason", "the version before stays in use")
	}
	l.logger.Error("configuration refused", attrs...)
}

// differences names the rules by which two versions differ. A rule is the same wherever in the files
// it is written.
func differences(old, next *Config) (attrs []any) {
	specs := func(c *Config) map[string]rules.Spec {
		out := make(map[string]rules.Spec, c.Rules.Len())
		for _, info := range c.Rules.Rules() {
			info.Origin = ""
			out[info.Name] = info.Spec
		}
		return out
	}
	was, is := specs(old), specs(next)
	var added, removed, changed []string
	for name, spec := range is {
		before, there := was[name]
		switch {
		case !there:
			added = append(added, name)
		case !reflect.DeepEqual(before, spec):
			changed = append(changed, name)
		}
	}
	for name := range was {
		if _, there := is[name]; !there {
			removed = append(removed, name)
		}
	}
	const most = 20
	for _, d := range []struct {
		key   string
		names []string
	}{{"added", added}, {"removed", removed}, {"changed", changed}} {
		slices.Sort(d.names)
		if more := len(d.names) - most; more > 0 {
			d.names = append(d.names[:most], fmt.Sprintf("and %d more", more))
		}
		if len(d.names) > 0 {
			attrs = append(attrs, d.key, d.names)
		}
	}
	return attrs
}

// brief keeps a log line readable when a file has hundreds of problems.
func brief(err error) string {
	const most = 10
	var ps Problems
	if !errors.As(err, &ps) || len(ps) <= most {
		return err.Error()
	}
	return fmt.Sprintf("%s\nand %d more", ps[:most].Error(), len(ps)-most)
}

func (l *Live) save(ctx context.Context) {
	if l.o.LastGood == nil {
		return
	}
	err := l.o.LastGood.Save(ctx, l.Status().Cause, l.Current().Files)
	if err != nil && !l.unsaved {
		l.logger.Warn("last good configuration not saved", "err", err)
	}
	l.unsaved = err != nil
}

// keptFiles returns the files of the version kept from an earlier run.
func (l *Live) keptFiles(ctx context.Context) []File {
	if l.o.LastGood == nil {
		return nil
	}
	files, err := l.o.LastGood.Load(ctx)
	if err != nil {
		l.logger.Warn("last good configuration not read", "err", err)
		return nil
	}
	return files
}

// lastGood makes a Config of the version kept from an earlier run, or nil.
func (l *Live) lastGood(files []File) *Config {
	if len(files) == 0 {
		return nil
	}
	info, err := os.Stat(l.o.Path)
	r := parseFiles(files, l.o.Options, len(files) > 1 || err == nil && info.IsDir(), nil)
	if problems := r.problems(); len(problems) > 0 {
		l.logger.Warn("last good configuration no longer valid", "err", brief(problems))
		return nil
	}
	for _, s := range r.secretFiles() {
		l.secretPaths = append(l.secretPaths, s.path)
	}
	return r.config
}
