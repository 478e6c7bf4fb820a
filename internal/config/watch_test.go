package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// ways are the ways a file changes under a running gateway.
var ways = map[string]func(t *testing.T, path, text string){
	"rewritten in place": write,
	"replaced by rename, as editors do": func(t *testing.T, path, text string) {
		t.Helper()
		temp := filepath.Join(filepath.Dir(path), ".rules.yaml.swp")
		write(t, temp, text)
		must(t, os.Rename(temp, path))
	},
	"deleted and made again": func(t *testing.T, path, text string) {
		t.Helper()
		must(t, os.Remove(path))
		write(t, path, text)
	},
	"moved away and made again": func(t *testing.T, path, text string) {
		t.Helper()
		must(t, os.Rename(path, path+"~"))
		write(t, path, text)
	},
}

func TestChangesAreTakenUp(t *testing.T) {
	t.Parallel()
	for name, change := range ways {
		for how, with := range map[string]func(LiveOptions) LiveOptions{
			"by notification": byHintOnly,
			"by content check": func(o LiveOptions) LiveOptions {
				o.NoWatcher = true
				return o
			},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "rules.yaml")
				write(t, path, minimal("v0"))
				o := with(fast(path))
				var log logBuffer
				o.Logger = slog.New(slog.NewTextHandler(&log, nil))
				l := newLive(t, o)
				watching(t, l, path)
				for i := range 3 {
					version := fmt.Sprintf("v%d", i+1)
					change(t, path, minimal(version))
					uses(t, l, version)
				}
			})
		}
	}
}

// watching waits until Run has had its first look, by making it take up a change. A change
// made before the watcher stands would be left to the content check.
func watching(t *testing.T, l *Live, path string) {
	t.Helper()
	i := 0
	eventually(t, "a watcher that stands", func() bool {
		i++
		if first(l) != "v0" {
			return true
		}
		switch i % 20 {
		case 1:
			write(t, path, minimal("ready"))
		case 11:
			now := time.Now()
			_ = os.Chtimes(path, now, now)
		}
		return false
	})
}

// kubelet replays how a ConfigMap volume changes: a new directory, a symbolic link to it,
// renamed over ..data, and the old directory removed.
func kubelet(t *testing.T, volume string, n int, files map[string]string) {
	t.Helper()
	dir := filepath.Join(volume, fmt.Sprintf("..2026_03_02_09_14_%02d.%09d", n, n))
	must(t, os.Mkdir(dir, 0o700))
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	data := filepath.Join(volume, "..data")
	old, _ := os.Readlink(data)
	must(t, os.Symlink(filepath.Base(dir), filepath.Join(volume, "..data_tmp")))
	must(t, os.Rename(filepath.Join(volume, "..data_tmp"), data))
	for name := range files {
		if link := filepath.Join(volume, name); old == "" {
			must(t, os.Symlink(filepath.Join("..data", name), link))
		}
	}
	if old != "" {
		must(t, os.RemoveAll(filepath.Join(volume, old)))
	}
}

func TestKubeletSwapsAreTakenUp(t *testing.T) {
	t.Parallel()
	for how, with := range map[string]func(LiveOptions) LiveOptions{
		"by notification":  byHintOnly,
		"by content check": func(o LiveOptions) LiveOptions { o.NoWatcher = true; return o },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			kubelet(t, volume, 0, map[string]string{"rules.yaml": minimal("v0")})
			l := newLive(t, with(fast(filepath.Join(volume, "rules.yaml"))))
			n := 1
			// Until the watcher stands a swap may pass unseen; so swap until one is seen.
			ticks := 0
			eventually(t, "the first swap", func() bool {
				if first(l) != "v0" {
					return true
				}
				if ticks++; ticks%100 == 1 && n < 50 {
					kubelet(t, volume, n, map[string]string{"rules.yaml": minimal(fmt.Sprintf("v%d", n))})
					n++
				}
				return false
			})
			for range 5 {
				version := fmt.Sprintf("v%d", n)
				kubelet(t, volume, n, map[string]string{"rules.yaml": minimal(version)})
				uses(t, l, version)
				n++
			}
			// Several in a row, faster than they can be taken up.
			for range 5 {
				kubelet(t, volume, n, map[string]string{"rules.yaml": minimal(fmt.Sprintf("v%d", n))})
				n++
			}
			uses(t, l, fmt.Sprintf("v%d", n-1))
		})
	}
}

func TestSecretFilesAreFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, key := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "secrets", "key")
	must(t, os.Mkdir(filepath.Dir(key), 0o700))
	text := "portals: {acme: {url: 'https://a.example.com', api_key: {file: secrets/key}, webhook_secrets: [{file: secrets/key}]}}\n"
	write(t, path, minimal("a"))
	l := newLive(t, fast(path))

	write(t, path, text+minimal("b"))
	refuses(t, l, "the file secrets/key does not exist")
	write(t, key, "first\n")
	uses(t, l, "b")
	hash := l.Current().Hash()
	write(t, key, "second\n")
	eventually(t, "the second key", func() bool { return l.Current().Portals[0].APIKey.Reveal() == "second" })
	if l.Current().Hash() != hash {
		t.Error("the hash depends on a secret")
	}
	write(t, key, "")
	refuses(t, l, "the file secrets/key is empty")
	if got := l.Current().Portals[0].APIKey.Reveal(); got != "second" {
		t.Errorf("the key in use is %q", got)
	}
}

func TestWhatFailedOutsideTheFileIsTriedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, minimal("a"))
	store := &kept{err: errors.New("disk full")}
	var mu sync.Mutex
	refusals := 2
	o := fast(path)
	o.LastGood = store
	o.Apply = func(context.Context, *Config) error {
		mu.Lock()
		defer mu.Unlock()
		if refusals--; refusals >= 0 {
			return errors.New("portal away")
		}
		return nil
	}
	l := newLive(t, o)
	write(t, path, minimal("b"))
	uses(t, l, "b")
	if l.Status().Cause != "retry" {
		t.Errorf("cause %s", l.Status().Cause)
	}
	store.set(nil)
	eventually(t, "the version kept", func() bool { return store.names() == minimal("b") })
}
