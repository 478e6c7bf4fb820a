package config

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// maxRetryDelay bounds the wait between attempts at what failed for reasons outside the file.
const maxRetryDelay = 5 * time.Minute

// Run follows the files until ctx ends. Notifications about their directories are a hint that
// makes it quick; comparing the content every Interval is what makes it certain. A change is
// loaded once it has stood still for Debounce, so that a half-written file is not taken for a
// short one.
func (l *Live) Run(ctx context.Context) error {
	w := l.newWatcher()
	defer w.close()

	check := time.NewTicker(l.o.Interval)
	defer check.Stop()
	settle := time.NewTimer(time.Hour)
	settle.Stop()
	defer settle.Stop()
	settling, seen := false, ""
	look := func(print string) {
		settling, seen = true, print
		settle.Reset(l.o.Debounce)
	}
	retryDelay, retryAt := l.o.Interval, time.Time{}

	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.events():
			if !settling && w.concerns(e) {
				look(l.onDisk())
			}
		case err := <-w.errors():
			l.logger.Warn("watching the rules file failed, its content is still checked", "err", err)
		case now := <-check.C:
			w.follow(l.files())
			if !settling && l.changed(l.onDisk()) {
				look(l.onDisk())
			}
			if !l.pending() {
				retryDelay, retryAt = l.o.Interval, time.Time{}
				continue
			}
			if retryAt.IsZero() {
				retryAt = now.Add(retryDelay)
			}
			if !now.Before(retryAt) {
				l.retry(ctx)
				retryDelay = min(2*retryDelay, maxRetryDelay)
				retryAt = now.Add(retryDelay)
			}
		case <-settle.C:
			settling = false
			print := l.onDisk()
			switch {
			case !l.changed(print):
			case print != seen:
				look(print)
			default:
				_ = l.Reload(ctx, causeWatch) // logged and kept in the status
			}
			w.follow(l.files())
		}
	}
}

// files lists the rules files and the secret files of the latest attempt.
func (l *Live) files() []string {
	files := []string{l.o.Path}
	if names, err := rulesFiles(l.o.Path); err == nil {
		for _, name := range names {
			files = append(files, filepath.Join(l.o.Path, name))
		}
	}
	return append(files, l.secrets()...)
}

func (l *Live) secrets() []string {
	l.reloading.Lock()
	defer l.reloading.Unlock()
	return l.secretPaths
}

func (l *Live) onDisk() string { return fingerprintOnDisk(l.o.Path, l.secrets()) }

// changed reports whether a fingerprint differs from the latest attempt's: what was tried and
// refused is not tried again until it changes.
func (l *Live) changed(print string) bool {
	l.reloading.Lock()
	defer l.reloading.Unlock()
	return print != l.attempted
}

// pending reports whether something failed that may pass without a change of the file.
func (l *Live) pending() bool {
	l.reloading.Lock()
	defer l.reloading.Unlock()
	return l.refused || l.unsaved
}

func (l *Live) retry(ctx context.Context) {
	l.reloading.Lock()
	refused := l.refused
	if !refused && l.unsaved {
		l.save(ctx)
	}
	l.reloading.Unlock()
	if refused {
		_ = l.Reload(ctx, causeRetry) // logged and kept in the status
	}
}

// watcher is an fsnotify watcher on the directories of the files and of every symbolic link
// on the way to them. Without one, its channels stay silent.
type watcher struct {
	live   *Live
	notify *fsnotify.Watcher
	names  map[string]bool // base names whose events matter
	dir    string          // the directory of rules files, if there is one: new ones matter
	warned map[string]bool // directories that could not be watched
}

func (l *Live) newWatcher() *watcher {
	w := &watcher{live: l, warned: map[string]bool{}}
	if l.o.NoWatcher {
		return w
	}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		l.logger.Warn("the rules file cannot be watched, its content is checked instead", "err", err)
		return w
	}
	w.notify = notify
	w.follow(l.files())
	return w
}

func (w *watcher) close() {
	if w.notify != nil {
		_ = w.notify.Close()
	}
}

func (w *watcher) events() <-chan fsnotify.Event {
	if w.notify == nil {
		return nil
	}
	return w.notify.Events
}

func (w *watcher) errors() <-chan error {
	if w.notify == nil {
		return nil
	}
	return w.notify.Errors
}

// follow watches the directories that matter now. Directories come and go: kubelet replaces
// the one behind ..data with every change.
func (w *watcher) follow(files []string) {
	if w.notify == nil {
		return
	}
	dirs := map[string]bool{}
	w.names = map[string]bool{}
	for _, f := range files {
		for _, hop := range hops(f) {
			dirs[filepath.Dir(hop)] = true
			w.names[filepath.Base(hop)] = true
		}
	}
	w.dir = ""
	if info, err := os.Stat(w.live.o.Path); err == nil && info.IsDir() {
		// Its files come and go, so the directory itself matters too.
		if dir, err := filepath.EvalSymlinks(w.live.o.Path); err == nil {
			if w.dir, err = filepath.Abs(dir); err == nil {
				dirs[w.dir] = true
			}
		}
	}
	watched := w.notify.WatchList()
	for _, dir := range watched {
		if !dirs[dir] {
			_ = w.notify.Remove(dir) // gone already, if it fails
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if slices.Contains(watched, dir) {
			continue
		}
		if err := w.notify.Add(dir); err != nil && !w.warned[dir] {
			w.warned[dir] = true
			w.live.logger.Warn("a directory cannot be watched, its content is checked instead", "path", dir, "err", err)
		}
	}
}

// concerns reports whether an event can be about one of the files. The directory may be a
// busy one: the database lies beside the rules by default. Kubelet's own names start with two
// dots.
func (w *watcher) concerns(e fsnotify.Event) bool {
	base := filepath.Base(e.Name)
	return w.names[base] || strings.HasPrefix(base, "..") ||
		w.dir != "" && filepath.Dir(e.Name) == w.dir && isRulesFile(base)
}

// hops lists a path and, where it is a symbolic link, what it leads to, step by step.
func hops(path string) []string {
	const most = 16
	abs, err := filepath.Abs(path)
	if err != nil {
		return []string{path}
	}
	out := []string{abs}
	for range most {
		target, err := os.Readlink(abs)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(abs), target)
		}
		abs = target
		out = append(out, abs)
	}
	return out
}
