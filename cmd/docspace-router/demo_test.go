package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDemoLeadsTheOtherCommands copies the lines that the demo prints into another terminal.
func TestDemoLeadsTheOtherCommands(t *testing.T) {
	t.Parallel()
	demo := exec.Command("docspace-router", "demo")
	stdout, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() { _ = demo.Process.Kill() })
	defer kill.Stop()
	var told strings.Builder
	var variables []string
	variable := regexp.MustCompile(`^    export (\w+=)'?([^']*)'?$`)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.Contains(lines.Text(), "ignored: no rule matched") {
		told.WriteString(lines.Text() + "\n")
		if m := variable.FindStringSubmatch(lines.Text()); m != nil {
			variables = append(variables, m[1]+m[2])
		}
	}
	if !regexp.MustCompile(`(?m)^ +open http://127\.0\.0\.1:\d+/ in a browser$`).MatchString(told.String()) {
		t.Errorf("the demo names no page to open:\n%s", &told)
	}
	for command, want := range map[string]string{
		"transfers list -q report":               `done +acme-uploads .*Report 001\.pdf`,
		"transfers list --room Acme":             `Report 001\.pdf`,
		"events list -q setup":                   `ignored +file\.uploaded`,
		"rooms --tree":                           `Acme - Shared with Client`,
		"check --online":                         `portal default: ok`,
		"webhook list":                           `docspace-router +yes`,
		"catch-up":                               `default: nothing is missing`,
		"backfill --rule acme-uploads --dry-run": `the rule has transferred it already`,
	} {
		cmd := exec.Command("docspace-router", strings.Fields(command)...)
		cmd.Env = variables
		if out, err := cmd.CombinedOutput(); err != nil || !regexp.MustCompile(want).Match(out) {
			t.Errorf("%s: %v\n%s\nwant %s", command, err, out, want)
		}
	}
	if err := demo.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		t.Error(err)
	}
	if err := demo.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
}
