package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMasked(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"plain values and comments after them", "portals:\n  a:\n    api_key: canary-1 # keep\n    webhook_secrets: [canary-2, 'canary-3', \"canary-4\"] # three\n",
			"portals:\n  a:\n    api_key: <secret> # keep\n    webhook_secrets: [<secret>, <secret>, <secret>] # three\n"},
		{"references stay", "portals:\n  a:\n    api_key: {env: KEY}\n    webhook_secrets: [{file: s/one}]\n",
			"portals:\n  a:\n    api_key: {env: KEY}\n    webhook_secrets: [{file: s/one}]\n"},
		{"a list with one line each", "webhook_secrets:\n  - canary-1\n  - env: TWO\n", "webhook_secrets:\n  - <secret>\n  - env: TWO\n"},
		{"a block of text", "a:\n  api_key: |\n    canary\n    canary-more\n  url: x\n", "a:\n  api_key: <secret>\n  url: x\n"},
		{"quotes with escapes over two lines", "a: {api_key: \"can\\\"ary\n  more\", url: x}\n", "a: {api_key: <secret>, url: x}\n"},
		{"what an alias stands for", "a:\n  api_key: &k canary-1\nb:\n  api_key: *k\n", "a:\n  api_key: <secret>\nb:\n  api_key: *k\n"},
		{"the same value elsewhere", "a:\n  api_key: canary-1\nb: x canary-1 y\n", "a:\n  api_key: <secret>\nb: x <secret> y\n"},
		{"a line that is commented out", "a:\n  # api_key: canary-1\n  api_key: {env: K}\n", "a:\n  # api_key: <secret>\n  api_key: {env: K}\n"},
		{"letters of more than one byte before it", "é: {ü: ä, api_key: canary-1}\n", "é: {ü: ä, api_key: <secret>}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := Masked(File{Text: []byte(tt.text)})
			if !ok {
				t.Fatal("not shown")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Contains(got, "canary") {
				t.Error("a secret is shown")
			}
		})
	}
	if text, ok := Masked(File{Text: []byte("a: [canary")}); ok || text != "" {
		t.Errorf("what is no YAML is shown: %q", text)
	}
}
