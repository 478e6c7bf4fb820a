package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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

func readRules(path string) ([]byte, *FileError) {
	if path == "" {
		return nil, &FileError{Path: "rules file", Text: "no path is given"}
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, &FileError{Path: path, Text: "is a directory; a directory of rules files is not supported by this version yet"}
	}
	return readFile(path, maxFile)
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

// fingerprintOnDisk is the fingerprint that loading now would have, as long as the rules file
// still refers to the same secret files.
func fingerprintOnDisk(path string, secretPaths []string) string {
	secrets := make([]secretFile, len(secretPaths))
	for i, p := range secretPaths {
		b, err := readSecret(p)
		secrets[i] = secretFile{p, contentSum(b, err)}
	}
	text, err := readRules(path)
	return fingerprint(contentSum(text, err), secrets)
}
