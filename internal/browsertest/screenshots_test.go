package browsertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"docspace-router/internal/app"
	"docspace-router/internal/portalsim"
)

// fill makes a morning's work for the pages to show, of which the last file cannot be copied: the portal
// refuses to take more. Mend takes the cause away.
func (o *office) fill() (mend func()) {
	o.t.Helper()
	documents := []string{
		"Annual report 2025.pdf", "Invoice 2026-0117.pdf", "Payroll March.xlsx", "Lease agreement signed.pdf",
		"Meeting notes 12 March.docx", "Bank statement February.pdf",
	}
	for _, title := range append(documents, "Old backup.zip") {
		o.portal.Upload(o.bramley, title, 48_000, o.client)
	}
	drawings := []string{"Hull section 14.dwg", "Hull section 15.dwg", "Crane inspection.pdf", "Dry dock 1.jpg", "Dry dock 2.jpg"}
	for _, title := range append(drawings, "setup.exe") {
		o.portal.Upload(o.halden, title, 2_400_000, o.client)
	}
	for _, title := range append(documents, drawings...) {
		o.eventually("/transfers?state=done", title)
	}
	mend = o.portal.Inject(portalsim.Fault{
		Kind: portalsim.Refuse, Path: "files/fileops/copy", Status: 400, Message: "The storage quota is exceeded", Type: "System.ArgumentException",
	})
	o.portal.Upload(o.bramley, "Tender offer.pdf", 80_000, o.client)
	return mend
}

func TestScreenshots(t *testing.T) {
	ctx := browser(t)
	into := *screenshots
	if into == "" {
		into = t.TempDir() // nobody wants them, but that they can be taken
	}
	o := open(t, func(options *app.Options) {
		// The pages name the file as the gateway was told.
		t.Chdir(filepath.Dir(options.Rules))
		options.Rules = filepath.Base(options.Rules)
	})
	o.fill()
	o.eventually("/transfers?state=failed", "Tender offer.pdf")
	transfer, event := o.link("/transfers?state=failed", "Tender offer.pdf"), o.link("/events", "Tender offer.pdf")
	o.page("/rules") // which has the rooms' names looked up
	o.write(strings.Replace(o.ruleText(""), "file.size < 50 * MB", "file.size < 80 * MB", 1))
	o.eventually("/rules-file", "80 * MB")
	o.eventually("/rules", "Photo archive")
	for _, scheme := range []string{"light", "dark"} {
		for _, size := range []struct {
			suffix        string
			width, height int64
		}{{"", 1280, 800}, {"-phone", 390, 844}} {
			if size.suffix != "" && scheme == "dark" {
				continue
			}
			for _, page := range []struct{ name, path string }{
				{"overview", "/"}, {"transfers", "/transfers"}, {"transfer", transfer}, {"events", "/events"},
				{"event", event + "?why=1"}, {"rules", "/rules"}, {"playground", "/playground?rule=bramley-documents&event=" + strings.TrimPrefix(event, "/events/")}, {"rules-file", "/rules-file"},
			} {
				o.shoot(ctx, page.path, filepath.Join(into, fmt.Sprintf("%s-%s%s.png", page.name, scheme, size.suffix)), scheme, size.width, size.height)
			}
		}
	}
}

func (o *office) shoot(ctx context.Context, path, file, scheme string, width, height int64) {
	o.t.Helper()
	do(ctx, o.t, "picture of "+path,
		media(scheme),
		chromedp.EmulateViewport(width, height),
		chromedp.Navigate(o.url+path),
		chromedp.WaitVisible("main"),
		holds(`!document.querySelector('.htmx-request')`))
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		o.t.Fatal(err)
	}
}
