package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

// SecretSource is where the rules file says that a secret is. The zero value stands for one that is
// written into the file itself.
type SecretSource struct {
	Variable string // of the environment
	File     string // its path, absolute or relative to the working directory
}

// sourceOf reads where a secret is, of a node that secret has found no fault with.
func (d *document) sourceOf(n *yaml.Node) SecretSource {
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 {
		return SecretSource{}
	}
	value := resolve(n.Content[1]).Value
	if resolve(n.Content[0]).Value == "env" {
		return SecretSource{Variable: value}
	}
	if !filepath.IsAbs(value) {
		value = filepath.Join(d.dir, value)
	}
	return SecretSource{File: value}
}

// isYetToBeMade reports whether a webhook's secret is where nothing is yet, for those who are about
// to make it.
func (d *document) isYetToBeMade(n *yaml.Node) bool {
	if !d.options.NewWebhookSecrets || n.Kind != yaml.MappingNode || len(n.Content) != 2 {
		return false
	}
	switch source := d.sourceOf(n); resolve(n.Content[0]).Value {
	case "env":
		v, ok := d.options.lookup(source.Variable)
		return (!ok || strings.TrimSpace(v) == "") && variableName.MatchString(source.Variable)
	case "file":
		b, err := readSecret(source.File)
		return err != nil && errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(b)) == ""
	}
	return false
}
