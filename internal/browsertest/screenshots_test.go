package browsertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"docspace-router/internal/portalsim"
)

// fill makes a morning's work for the pages to show.
func (o *office) fill() (failed portalsim.ID) {
	o.t.Helper()
	for _, title := range []string{
		"Annual report 2025.pdf", "Invoice 2026-0117.pdf", "Payroll March.xlsx", "Lease agreement signed.pdf",
		"Meeting notes 12 March.docx", "Old backup.zip", "Bank statement February.pdf",
	} {
		o.portal.Upload(o.bramley, title, 48_000, o.client)
	}
	for _, title := range []string{"Hull section 14.dwg", "Hull section 15.dwg", "Crane inspection.pdf", "Dry dock 1.jpg", "Dry dock 2.jpg", "setup.exe"} {
		o.portal.Upload(o.halden, title, 2_400_000, o.client)
	}
	return o.fail("Tender offer.pdf")
}

// fail uploads a file that cannot be copied, because the gateway's account has lost its role in
// the destination.
func (o *office) fail(title string) portalsim.ID {
	o.t.Helper()
	o.eventually("/transfers?state=done", "Bank statement February.pdf")
	o.portal.SetMember(o.bramleyInside, o.robot, portalsim.NoAccess)
	id := o.portal.Upload(o.bramley, title, 80_000, o.client)
	return id
}

func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("no screenshots were asked for")
	}
	o := open(t)
	o.fill()
	ctx := browser(t)
	do(t, ctx, "wait for the work", chromedp.Navigate(o.url+"/transfers?state=failed"), seen("main", "Tender offer"))
	for _, scheme := range []string{"light", "dark"} {
		for _, size := range []struct {
			suffix        string
			width, height int64
		}{{"", 1280, 800}, {"-phone", 390, 844}} {
			for _, page := range []struct{ name, path string }{
				{"overview", "/"}, {"transfers", "/transfers"}, {"transfer", "/transfers/1"}, {"events", "/events"},
				{"event", "/events/1"}, {"rules", "/rules"}, {"playground", "/playground?event=1&rule=bramley-documents"}, {"rules-file", "/rules-file"},
			} {
				o.shoot(ctx, page.path, filepath.Join(*screenshots, fmt.Sprintf("%s-%s%s.png", page.name, scheme, size.suffix)), scheme, size.width, size.height)
			}
		}
	}
}

func (o *office) shoot(ctx context.Context, path, file, scheme string, width, height int64) {
	o.t.Helper()
	do(o.t, ctx, "picture of "+path,
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			return err
		}),
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
