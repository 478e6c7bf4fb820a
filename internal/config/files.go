package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	// maxFile bounds a rules file in bytes; ten thousand rules take about 3 MiB.
	maxFile = 16 << 20
	// maxSecretFile bounds a secret file in bytes; DocSpace's secrets have at most 30
	// characters and its keys less than a hundred.
	maxSecretFile = 64 << 10
)

// readRules reads the rules file, or the files of the directory in name order.
func readRules(path string) (files []File, isDir bool, err *FileError) {
	if path == "" {
		return nil, false, &FileError{Path: "rules file", Text: "no path is given"}
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		text, err := readFile(path, maxFile)
		if err != nil {
			return nil, false, err
		}
		return []File{newFile(path, text)}, false, nil
	}
	// A directory can change while it is read, file by file. What is read twice alike was there
	// at one moment.
	const attempts = 5
	for range attempts {
		if files, err = readDir(path); err != nil {
			return nil, true, err
		}
		again, err := readDir(path)
		if err != nil {
			return nil, true, err
		}
		if slices.EqualFunc(files, again, func(a, b File) bool { return a.Name == b.Name && a.Hash == b.Hash }) {
			break
		}
	}
	return files, true, nil
}

// rulesFiles lists the names of the files in a directory that hold rules. Hidden ones are left
// out: editors and Kubernetes keep their own there.
func rulesFiles(dir string) ([]string, *FileError) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fileError(dir, err)
	}
	var names []string
	for _, e := range entries {
		if isRulesFile(e.Name()) && !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func isRulesFile(name string) bool {
	return strings.HasSuffix(name, ".yaml") && !strings.HasPrefix(name, ".") && !IsTestsFile(name)
}

func readDir(dir string) ([]File, *FileError) {
	names, err := rulesFiles(dir)
	if err != nil {
		return nil, err
	}
	var files []File
	size := 0
	for _, name := range names {
		text, err := readFile(filepath.Join(dir, name), maxFile)
		if err != nil {
			// The file stands for itself: the others must not suffer.
			files = append(files, File{Name: name, Hash: contentSum(nil, err), Unreadable: err.Text})
			continue
		}
		if size += len(text); size > maxFile {
			return nil, &FileError{Path: dir, Text: fmt.Sprintf("holds more than %d KiB of rules", maxFile>>10)}
		}
		files = append(files, newFile(name, text))
	}
	if len(files) == 0 {
		return nil, &FileError{Path: dir, Text: "holds no *.yaml file"}
	}
	return files, nil
}

func readSecret(path string) ([]byte, *FileError) { return readFile(path, maxSecretFile) }

// readFile reads a regular file of at most limit bytes. Anything else, such as a pipe, could
// block for ever.
func readFile(path string, limit int64) ([]byte, *FileError) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fileError(path, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fileError(path, err)
	case !info.Mode().IsRegular():
		return nil, &FileError{Path: path, Text: "is not a regular file"}
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, fileError(path, err)
	case int64(len(b)) > limit:
		return nil, &FileError{Path: path, Text: fmt.Sprintf("is larger than %d KiB", limit>>10)}
	}
	return b, nil
}

// fileError says in words why a file cannot be read.
func fileError(path string, err error) *FileError {
	text := ""
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = "does not exist"
	case errors.Is(err, fs.ErrPermission):
		text = "may not be read: permission denied"
	case errors.As(err, &pathErr):
		text = "cannot be read: " + pathErr.Err.Error()
	default:
		text = "cannot be read: " + err.Error()
	}
	return &FileError{Path: path, Text: text, Err: err}
}

// secretFile is a file a secret comes from, and what was found in it.
type secretFile struct{ path, sum string }

// contentSum stands for a file's content, or for the reason why there is none.
func contentSum(b []byte, err *FileError) string {
	if err != nil {
		return "error: " + err.Text
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// fingerprint stands for everything a load depends on: the rules file and the secret files.
// Unlike Config.Hash it covers secrets, and it never leaves this package.
func fingerprint(rulesSum string, secrets []secretFile) string {
	parts := []string{rulesSum}
	for _, s := range secrets {
		parts = append(parts, s.path+" "+s.sum)
	}
	slices.Sort(parts[1:])
	return strings.Join(slices.Compact(parts), "\n")
}

// fingerprintOnDisk is the fingerprint that loading now would have, as long as the rules
// still refer to the same secret files.
func fingerprintOnDisk(path string, secretPaths []string) string {
	secrets := make([]secretFile, len(secretPaths))
	for i, p := range secretPaths {
		b, err := readSecret(p)
		secrets[i] = secretFile{p, contentSum(b, err)}
	}
	files, _, err := readRules(path)
	return fingerprint(rulesSum(files, err), secrets)
}

// rulesSum stands for the rules files, or for the reason why there are none.
func rulesSum(files []File, err *FileError) string {
	if err != nil {
		return "error: " + err.Text
	}
	sums := make([]string, len(files))
	for i, f := range files {
		sums[i] = f.Name + " " + f.Hash
	}
	return strings.Join(sums, " ")
}
