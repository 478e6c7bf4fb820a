package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

var (
	portalKeys = schema{"url", "api_key", "webhook_secrets", "limits"}
	limitKeys  = schema{"requests_per_minute", "concurrent_writes", "writes_per_day"}

	plainName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

const (
	nameRule   = "use lower-case letters, digits and dashes"
	secretForm = "write {env: NAME} or {file: PATH}"
)

// checkName reports a name that would not do in a URL, a log line and a metric alike.
func (d *document) checkName(at *yaml.Node, path, name string) {
	const longest = 100
	switch {
	case !plainName.MatchString(name):
		d.add(at, path, nameRule, "%q cannot be a name", name)
	case len(name) > longest:
		d.add(at, path, "", "a name has at most %d characters", longest)
	}
}

func (d *document) portals(n *yaml.Node) []Portal {
	f, ok := d.anyMapping(n, "portals")
	if !ok {
		return nil
	}
	if len(f.byName) == 0 {
		d.add(n, "portals", "name a portal, or leave the block out", "no portal is given")
		return nil
	}
	var portals []Portal
	for name, at := range f.byName {
		path := f.sub(name)
		d.checkName(at.key, path, name)
		p := Portal{Name: name, Limits: DefaultLimits(), At: d.at(at.key)}
		if isNull(at.value) {
			d.add(at.key, path, "give it a url and an api_key", "portal %s is empty", name)
			continue
		}
		d.portal(at.value, path, &p)
		portals = append(portals, p)
	}
	slices.SortFunc(portals, func(a, b Portal) int {
		if a.At.Line != b.At.Line {
			return a.At.Line - b.At.Line
		}
		return a.At.Column - b.At.Column
	})
	return portals
}

func (d *document) portal(n *yaml.Node, path string, p *Portal) {
	f, ok := d.mapping(n, path, portalKeys)
	if !ok {
		return
	}
	if n := f.need("url", "write the portal's address, as in url: https://acme.onlyoffice.com"); n != nil {
		if s, ok := d.str(n, f.sub("url")); ok {
			address, trouble := portalURL(s)
			if trouble != "" {
				d.add(n, f.sub("url"), "write only scheme and host, as in https://acme.onlyoffice.com", "%s", trouble)
			}
			p.URL = address
		}
	}
	if n := f.need("api_key", secretForm); n != nil {
		p.APIKey, _ = d.secret(n, f.sub("api_key"))
	}
	if !d.options.keysOnly {
		d.webhookSecrets(f, p)
	}
	if n := f.get("limits"); n != nil {
		d.limits(n, f.sub("limits"), &p.Limits)
	}
}

func (d *document) webhookSecrets(f fields, p *Portal) {
	n := f.get("webhook_secrets")
	if n == nil {
		if !f.has("webhook_secrets") && !d.options.AllowUnsigned && !d.options.NewWebhookSecrets {
			d.add(f.node, f.path, secretForm+" in a list", "webhook_secrets is missing: without a secret anybody could send events")
		}
		return
	}
	path := f.sub("webhook_secrets")
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 && d.options.AllowUnsigned {
		return
	}
	items, ok := d.list(n, path, "write [{env: NAME}]")
	if !ok {
		return
	}
	for i, item := range items {
		if d.isYetToBeMade(item) {
			p.WebhookSecrets = append(p.WebhookSecrets, Secret{})
			p.WebhookSecretSources = append(p.WebhookSecretSources, d.sourceOf(item))
		} else if s, ok := d.secret(item, index(path, i)); ok {
			p.WebhookSecrets = append(p.WebhookSecrets, s)
			p.WebhookSecretSources = append(p.WebhookSecretSources, d.sourceOf(item))
		}
	}
}

func (d *document) limits(n *yaml.Node, path string, l *Limits) {
	f, ok := d.mapping(n, path, limitKeys)
	if !ok {
		return
	}
	for name, into := range map[string]*int{
		"requests_per_minute": &l.RequestsPerMinute,
		"concurrent_writes":   &l.ConcurrentWrites,
		"writes_per_day":      &l.WritesPerDay,
	} {
		if n := f.get(name); n != nil {
			if v, ok := d.number(n, f.sub(name)); ok {
				*into = v
			}
		}
	}
}

// portalURL checks a portal's address and takes the trailing slash off. What is wrong is told
// without repeating the address, which may hold a password.
func portalURL(s string) (address, trouble string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || strings.ContainsFunc(s, isControlOrSpace):
		return "", "the address is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "", "the address does not start with https:// or http://"
	case u.Hostname() == "" || u.Opaque != "":
		return "", "the address names no host"
	case u.User != nil:
		return "", "the address holds a user or password"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(s, "#"):
		return "", "the address holds a query or fragment"
	case u.Path != "" && u.Path != "/":
		return "", "the address holds a path"
	}
	return u.Scheme + "://" + u.Host, ""
}

func isControlOrSpace(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// secret reads {env: NAME}, {file: PATH} or a literal. No message repeats anything that could
// be a secret put in the wrong place.
func (d *document) secret(n *yaml.Node, path string) (Secret, bool) {
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str":
		d.warn(n, path, secretForm, "the secret is written into the rules file")
		return d.secretValue(n, path, n.Value, "the secret")
	case n.Kind == yaml.ScalarNode && isNull(n):
		d.add(n, path, secretForm, "the secret is empty")
		return Secret{}, false
	case n.Kind == yaml.ScalarNode:
		d.add(n, path, "put it in quotes, or "+secretForm, "must be text, not %s", kindOf(n))
		return Secret{}, false
	case n.Kind != yaml.MappingNode || len(n.Content) != 2:
		d.add(n, path, secretForm, "must be one secret")
		return Secret{}, false
	}
	key, value := resolve(n.Content[0]), resolve(n.Content[1])
	if key.Value != "env" && key.Value != "file" {
		d.add(key, path, secretForm, "unknown key")
		return Secret{}, false
	}
	if value.Kind != yaml.ScalarNode || value.ShortTag() != "!!str" || value.Value == "" {
		d.add(key, join(path, key.Value), "", "must be text, not %s", kindOf(value))
		return Secret{}, false
	}
	if key.Value == "env" {
		return d.secretVariable(value, join(path, "env"))
	}
	return d.secretFile(value, join(path, "file"))
}

func (d *document) secretVariable(n *yaml.Node, path string) (Secret, bool) {
	if !variableName.MatchString(n.Value) {
		d.add(n, path, "", "this is not the name of a variable")
		return Secret{}, false
	}
	if d.options.WithoutSecrets {
		return Secret{}, true
	}
	v, ok := d.options.lookup(n.Value)
	if !ok {
		d.add(n, path, "", "the variable %s is not set", n.Value)
		return Secret{}, false
	}
	return d.secretValue(n, path, v, "the variable "+n.Value)
}

func (d *document) secretFile(n *yaml.Node, path string) (Secret, bool) {
	if d.options.WithoutSecrets {
		return Secret{}, true
	}
	name := n.Value
	if !filepath.IsAbs(name) {
		name = filepath.Join(d.dir, name)
	}
	b, err := readSecret(name)
	d.secretFiles = append(d.secretFiles, secretFile{name, contentSum(b, err)})
	if err != nil {
		d.add(n, path, "", "the file %s %s", n.Value, err.Text)
		return Secret{}, false
	}
	return d.secretValue(n, path, strings.TrimRight(string(b), "\r\n"), "the file "+n.Value)
}

// secretValue checks a value that is to be sent in a header or used as a key.
func (d *document) secretValue(n *yaml.Node, path, value, what string) (Secret, bool) {
	switch {
	case strings.TrimSpace(value) == "":
		d.add(n, path, "", "%s is empty", what)
		return Secret{}, false
	case strings.ContainsFunc(value, unicode.IsControl):
		d.add(n, path, "", "%s holds a line break or another control character", what)
		return Secret{}, false
	}
	return NewSecret(value), true
}

// defaultPortal is the portal of a file without a portals block.
func (d *document) defaultPortal() []Portal {
	const hint = "set it, or describe the portal in a portals block"
	p := Portal{Name: DefaultPortal, Limits: DefaultLimits(), At: d.at(start)}
	if d.options.WithoutSecrets {
		return []Portal{p}
	}
	read := func(name string) (string, bool) {
		v, ok := d.options.lookup(name)
		switch {
		case !ok:
			d.add(start, "", hint, "there is no portals block and the variable %s is not set", name)
		case strings.TrimSpace(v) == "":
			d.add(start, "", hint, "there is no portals block and the variable %s is empty", name)
		default:
			return v, true
		}
		return "", false
	}
	if v, ok := read(HostVariable); ok {
		address, trouble := portalURL(v)
		if trouble != "" {
			d.add(start, "", fmt.Sprintf("set %s to scheme and host, as in https://acme.onlyoffice.com", HostVariable),
				"%s: %s", HostVariable, trouble)
		}
		p.URL = address
	}
	if v, ok := read(KeyVariable); ok {
		p.APIKey, _ = d.secretValue(start, "", v, "the variable "+KeyVariable)
	}
	if d.options.keysOnly {
		return []Portal{p}
	}
	secret, set := d.options.lookup(WebhookSecretVariable)
	if d.options.NewWebhookSecrets && strings.TrimSpace(secret) == "" {
		p.WebhookSecrets = []Secret{{}}
		p.WebhookSecretSources = []SecretSource{{Variable: WebhookSecretVariable}}
	} else if set || !d.options.AllowUnsigned {
		if v, ok := read(WebhookSecretVariable); ok {
			if s, ok := d.secretValue(start, "", v, "the variable "+WebhookSecretVariable); ok {
				p.WebhookSecrets = []Secret{s}
				p.WebhookSecretSources = []SecretSource{{Variable: WebhookSecretVariable}}
			}
		}
	}
	return []Portal{p}
}
