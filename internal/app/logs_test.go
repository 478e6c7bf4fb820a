package app_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"docspace-router/internal/portalsim"
)

// logCall is a place where the program logs.
type logCall struct {
	at, method, message string
	keys                []string
}

// logCalls reads where the gateway logs from its source. What only simulates or tests it is left out.
func logCalls(t *testing.T) (calls []logCall) {
	t.Helper()
	files := token.NewFileSet()
	visit := func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log"}, method.Sel.Name) {
			return true
		}
		if of, ok := method.X.(*ast.Ident); ok && of.Name == "http" {
			return true // http.Error answers
		}
		args := call.Args
		if method.Sel.Name == "Log" {
			args = args[min(2, len(args)):] // the context and the level
		}
		if len(args) == 0 {
			return true // an error's text
		}
		c := logCall{at: files.Position(call.Pos()).String(), method: method.Sel.Name, message: literal(args[0])}
		for i := 1; i < len(args) && !call.Ellipsis.IsValid(); i += 2 {
			if key := literal(args[i]); key != "" {
				c.keys = append(c.keys, key)
			}
		}
		calls = append(calls, c)
		return true
	}
	for _, root := range []string{"../../internal", "../../cmd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && slices.Contains([]string{"portalsim", "chaos", "demo", "browsertest", "pgtest"}, d.Name()):
				return fs.SkipDir
			case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(files, path, nil, 0)
			if err == nil {
				ast.Inspect(file, visit)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return calls
}

// literal is the value of a string written as such, or "".
func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value) // the parser has read it
	return s
}

// TestTheLogIsDocumented holds docs/operations.md to what the program logs: every error is in its
// table, as operators alert on them, and every attribute has one of the names it lists.
func TestTheLogIsDocumented(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(raw), "\n### Logs\n")
	text, _, _ = strings.Cut(text, "\n## ")
	table, attributes, found := strings.Cut(text, "\n#### Attributes\n")
	if !found {
		t.Fatal("docs/operations.md lists no attributes")
	}
	_, table, _ = strings.Cut(table, "| message |")
	quoted := func(in string) map[string]bool {
		out := map[string]bool{}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(in, -1) {
			out[m[1]] = true
		}
		return out
	}
	var messages string // the first column
	for row := range strings.Lines(table) {
		if cells := strings.SplitN(row, " | ", 2); len(cells) == 2 {
			messages += cells[0]
		}
	}
	errors, names := quoted(messages), quoted(attributes)
	logged, used := map[string]bool{}, map[string]bool{}
	calls := logCalls(t)
	for _, c := range calls {
		if c.message == "" {
			t.Errorf("%s: the message is no constant", c.at)
		}
		if c.method == "Error" && !errors[c.message] {
			t.Errorf("%s: docs/operations.md does not say what to do about the error %q", c.at, c.message)
		}
		if c.method == "Error" || c.method == "Log" {
			logged[c.message] = true
		}
		for _, key := range c.keys {
			if used[key] = true; !names[key] {
				t.Errorf("%s: docs/operations.md does not list the attribute %q", c.at, key)
			}
		}
	}
	for message := range errors {
		if !logged[message] {
			t.Errorf("no error %q is logged, which docs/operations.md tells of", message)
		}
	}
	if len(calls) < 60 || len(errors) < 10 || len(used) < 20 {
		t.Errorf("only %d calls, %d errors and %d attributes were found", len(calls), len(errors), len(used))
	}
}

// TestWhoeverSendsCannotFillTheLog sends what is refused, over and over, to both listeners.
func TestWhoeverSendsCannotFillTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, portalsim.Options{})
	w.options.AdminToken = "canary-token"
	w.writeRules(rule("uploads", w.room, w.dest))
	w.run()
	started := time.Now()
	const many = 200
	for i := range many {
		w.deliver([]byte(`{}`), "sha256=00")
		w.deliverTo("none"+strconv.Itoa(i), []byte(`{}`), "sha256=00")
		resp, err := http.Get("http://" + w.gateway.AdminAddr() + "/api/v1/status")
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusUnauthorized {
			t.Fatalf("without the token the admin API answers %s, %v", resp.Status, err)
		}
	}
	often := int(time.Since(started)/(30*time.Second)) + 1
	for _, want := range []string{"the signature is missing or wrong", "there is no portal of that name", "the admin token is missing or wrong"} {
		if n := strings.Count(w.logs.String(), want); n < 1 || n > often {
			t.Errorf("of %d requests, %d are logged with %q; want 1 to %d", many, n, want, often)
		}
	}
}
