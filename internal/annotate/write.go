package annotate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrMeanwhile says that a file is not what it was any more.
var ErrMeanwhile = errors.New("the file was changed meanwhile")

// Write replaces a file's text at once, as readers see it, and keeps its mode. A link stays one:
// what it leads to is replaced. Nothing is written unless the file still holds old.
func Write(path string, old, text []byte) (err error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(target)
	if err != nil {
		return err
	}
	dir := filepath.Dir(target)
	// Hidden, so that no reader of the directory takes it for one of its files.
	temp, err := os.CreateTemp(dir, ".annotate-*")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("the folder %s may not be written to, as is usual for a mounted ConfigMap: annotate the original: %w", dir, err)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = temp.Close() // a second time where closing failed
			_ = os.Remove(temp.Name())
		}
	}()
	if _, err := temp.Write(text); err != nil {
		return err
	}
	if err := temp.Chmod(info.Mode().Perm()); err != nil {
		return err
	}
	if err := temp.Sync(); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	now, err := os.ReadFile(target)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, old) {
		return ErrMeanwhile
	}
	return os.Rename(temp.Name(), target)
}
