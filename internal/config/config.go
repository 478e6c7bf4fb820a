package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"docspace-router/internal/rules"
)

// DefaultPortal is the name of the portal of a file without a portals block, whose address
// and secrets come from the variables below: the names the public DocSpace sample uses.
const (
	DefaultPortal = "default"

	HostVariable          = "DOCSPACE_API_HOST"
	KeyVariable           = "DOCSPACE_API_KEY"
	WebhookSecretVariable = "DOCSPACE_WEBHOOK_SECRET"
)

// Config is a rules file, validated and compiled. Nobody changes it once it is made.
type Config struct {
	Portals   []Portal // in the order of the files; never empty
	Rules     *rules.Table
	Files     []File
	Warnings  Problems
	Locations []RuleLocations // of each of Rules.Rules(); only with Options.Locations
}

// Portal is one DocSpace tenant.
type Portal struct {
	Name           string
	URL            string // scheme and host, without a trailing slash
	APIKey         Secret
	WebhookSecrets []Secret
	// WebhookSecretSources are where these come from, one for each.
	WebhookSecretSources []SecretSource
	Limits               Limits
	At                   Position
}

// Limits are the API limits of a portal.
type Limits struct {
	RequestsPerMinute int // default 1500
	ConcurrentWrites  int // default 15
	WritesPerDay      int // default 10000
}

// DefaultLimits are DocSpace's own.
func DefaultLimits() Limits {
	return Limits{RequestsPerMinute: 1500, ConcurrentWrites: 15, WritesPerDay: 10_000}
}

// Position is a place in a file, counted from 1.
type Position struct {
	File         string
	Line, Column int
}

func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// seenFrom names the place for somebody who reads a file: by its line, if it is in that file.
func (p Position) seenFrom(file string) string {
	if p.File == file {
		return fmt.Sprintf("line %d", p.Line)
	}
	return p.String()
}

// File is the text of a rules file as it was read. It holds no secret but those written into
// the rules file itself.
type File struct {
	Name string // without its directory
	Hash string // SHA-256 of Text, hex
	Text []byte

	Unreadable string // why there is no Text; never of the files of a Config
}

// Portal returns the portal of that name.
func (c *Config) Portal(name string) (Portal, bool) {
	for _, p := range c.Portals {
		if p.Name == name {
			return p, true
		}
	}
	return Portal{}, false
}

// Hash identifies the text of the rules files, as hex. Secrets do not enter it.
func (c *Config) Hash() string { return Hash(c.Files) }

// Hash identifies the text of rules files as Config.Hash does.
func Hash(files []File) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s %s\n", f.Hash, f.Name)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Options say where the rules file is and what it may refer to.
type Options struct {
	// Path is the rules file, or a directory whose *.yaml files are read in name order. Parse
	// needs it only to find secret files: their paths are relative to the file's directory.
	Path string

	// LookupEnv finds an environment variable, as os.LookupEnv does. nil: none is set.
	LookupEnv func(string) (string, bool)

	// AllowUnsigned accepts portals without webhook secrets, whose deliveries anybody could
	// forge. Default false.
	AllowUnsigned bool

	// WithoutSecrets leaves variables and secret files unread, for those who look at the rules
	// alone: the portals of the result have no secrets, and one that variables describe has no
	// address. Default false.
	WithoutSecrets bool

	// NewWebhookSecrets accepts webhook secrets whose variable or file is missing or empty, as empty
	// ones, for those who are about to make them. Default false.
	NewWebhookSecrets bool

	// Locations keeps where the parts of each rule are written, for those who find something wrong
	// with them later. Default false: a running gateway has no use for it.
	Locations bool

	keysOnly bool // leaves webhook secrets unread

	shown string // how problems name the file; "" is Path
}

func (o Options) lookup(name string) (string, bool) {
	if o.LookupEnv == nil {
		return "", false
	}
	return o.LookupEnv(name)
}

// Load reads and validates the rules file, or all files of the directory. The error is Problems,
// or a *FileError when there is nothing to read.
func Load(o Options) (*Config, error) {
	files, isDir, err := readRules(o.Path)
	if err != nil {
		return nil, err
	}
	return strict(parseFiles(files, o, isDir, nil))
}

// LoadPortals reads only how the portals are reached: for those who ask a portal before they have
// written rules, and before it has a webhook. What is wrong with the rules, or with webhook
// secrets, does not matter. A file that is missing counts as one without a portals block when
// mayMiss is set. The errors are those of Load.
func LoadPortals(o Options, mayMiss bool) ([]Portal, error) {
	o.keysOnly = true
	files, isDir, err := readRules(o.Path)
	switch {
	case err != nil && mayMiss && errors.Is(err, fs.ErrNotExist):
		files = []File{newFile(o.Path, []byte("version: 1\n"))}
	case err != nil:
		return nil, err
	}
	r := newReading(files, o, isDir, nil)
	order := make([]int, len(files))
	for i := range order {
		order[i] = i
	}
	r.readPortals(order, make([]fields, len(files)), &known{})
	if problems := r.problems(); len(problems) > 0 {
		problems.sort()
		return nil, problems
	}
	return r.config.Portals, nil
}

// Parse validates the text of one rules file. Problems name the file as name. The error, if
// any, is Problems.
func Parse(name string, text []byte, o Options) (*Config, error) {
	o.shown = name
	return strict(parseFiles([]File{newFile(name, text)}, o, false, nil))
}

// strict refuses everything when anything is wrong.
func strict(r *reading) (*Config, error) {
	if problems := r.problems(); len(problems) > 0 {
		return nil, problems
	}
	return r.config, nil
}

func newFile(path string, text []byte) File {
	sum := sha256.Sum256(text)
	return File{Name: filepath.Base(path), Hash: hex.EncodeToString(sum[:]), Text: text}
}
