package browsertest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// stay marks the page that is shown, so that stayed holds until another is loaded in its place.
const (
	stay   = `(window.samePage = true)`
	stayed = `window.samePage === true`
)

// pausePortal holds all transfers, as somebody at the overview does.
func pausePortal() step {
	const form = `.portals details`
	return chromedp.Steps(press(form+" summary"), holds(`document.querySelector('`+form+`').open`),
		set(form+" select[name=for]", "8h0m0s"), set(form+" input[name=reason]", "the storage is being moved"), set(form+" input[name=author]", "Ana"),
		press(form+" button"))
}

// row is an expression about the row of a list that holds an entry.
func row(title, about string) string {
	return fmt.Sprintf(`(() => { const r = [...document.querySelectorAll('tbody tr')].find((r) => r.innerText.includes(%q)); return !!r && %s; })()`, title, about)
}

func TestAnEventIsReplayed(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	o.portal.Upload(o.bramley, "Plan.odt", 1000, o.client)
	do(ctx, t, "see that nothing became of a file", chromedp.Navigate(o.url+"/events"), seen("tbody", "ignored"),
		press("tbody a"), seen("h1", "Plan.odt"), seen("#live", "no rule matched"), seen("#why", "0 rules match"))
	o.write(strings.Replace(o.ruleText(""), `"xlsx"`, `"xlsx", "odt"`, 1))
	o.eventually("/rules", "odt")
	do(ctx, t, "replay it, and see what becomes of it on the same page", ready(), holds(stay),
		press("#replay"), seen("#notice", "routed again"), seen("#live", "routed"), seen("#live tbody", "bramley-documents"), seen("#live tbody", "done"), holds(stayed))
	do(ctx, t, "follow it to its transfer", press("#live tbody a"), seen("h1", "Plan.odt"), seen("#state", "done"))
}

func TestAPortalIsPausedAndResumed(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	do(ctx, t, "pause the portal", chromedp.Navigate(o.url+"/"), pausePortal(),
		seen("#notice", "The portal default is paused until"), seen(".portals .row", "paused"),
		seen("section[aria-labelledby=pauses]", "portal default"), seen("section[aria-labelledby=pauses]", "by Ana: the storage is being moved"))
	o.portal.Upload(o.bramley, "Ledger.xlsx", 1000, o.client)
	o.portal.Upload(o.halden, "Hull section 16.dwg", 1000, o.client)
	do(ctx, t, "see what waits, and why", holds(`document.querySelector('.tiles').innerText.startsWith('2 waiting')`), press(".tiles a"), seen("h1", "Transfers"),
		holds(row("Ledger.xlsx", `r.innerText.includes('held') && r.innerText.includes('portal default is paused by Ana: the storage is being moved')`)),
		holds(row("Hull section 16.dwg", `r.innerText.includes('held')`)))
	do(ctx, t, "see until when", press("tbody td.entry a"), seen("#state", "held"), seen(".story", "Held until then"), seen(".story", "the storage is being moved"))
	if n := len(o.portal.Calls().Batches); n > 0 {
		t.Errorf("%d batches were sent while the portal was paused", n)
	}
	do(ctx, t, "resume it", chromedp.Navigate(o.url+"/"), press("section[aria-labelledby=pauses] button"), seen("#notice", "not paused any more"),
		seen(".tiles", "2 done"), holds(`document.querySelector('section[aria-labelledby=pauses]') === null`))
	do(ctx, t, "find their own name when they pause again", press(".portals details summary"),
		holds(`document.querySelector('.portals input[name=author]').value === 'Ana'`))
}

func TestTransfersAreCancelled(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	do(ctx, t, "pause the portal", chromedp.Navigate(o.url+"/"), pausePortal(), seen(".portals .row", "paused"))
	for _, title := range []string{"One.pdf", "Two.pdf", "Three.pdf", "Four.pdf"} {
		o.portal.Upload(o.bramley, title, 1000, o.client)
	}
	for _, title := range []string{"One.pdf", "Two.pdf", "Three.pdf", "Four.pdf"} {
		o.eventually("/transfers?state=queued", title)
	}
	do(ctx, t, "cancel one on its page, and see it cancelled there",
		chromedp.Navigate(o.url+o.link("/transfers", "One.pdf")), seen("#state", "held"), holds(stay),
		press("#cancel"), seen("#state", "cancelled"), seen(".story", "Cancelled"), seen("#notice", "1 transfer is cancelled"), holds(stayed),
		holds(`document.querySelector('#retry') !== null && document.querySelector('#cancel') === null`))
	do(ctx, t, "choose two in the list and cancel them", chromedp.Navigate(o.url+"/transfers"),
		press(`input[aria-label="Choose Two.pdf"]`), press(`input[aria-label="Choose Four.pdf"]`), press(`button[formaction$=cancel]:not([name])`),
		seen("#notice", "2 transfers are cancelled"), holds(row("Two.pdf", `r.innerText.includes('cancelled')`)), holds(row("Four.pdf", `r.innerText.includes('cancelled')`)),
		holds(row("Three.pdf", `r.innerText.includes('held')`)))
	do(ctx, t, "let the last one flow", chromedp.Navigate(o.url+"/"), press("section[aria-labelledby=pauses] button"), seen(".tiles", "1 done"),
		chromedp.Navigate(o.url+"/transfers"), holds(row("Three.pdf", `r.innerText.includes('done')`)), holds(row("Two.pdf", `r.innerText.includes('cancelled')`)))
}

// TestManyAreCancelledAndRetried acts on more than a page of the list shows.
func TestManyAreCancelledAndRetried(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	do(ctx, t, "pause the portal", chromedp.Navigate(o.url+"/"), pausePortal(), seen(".portals .row", "paused"))
	const many = 230
	for n := range many {
		o.portal.Upload(o.bramley, fmt.Sprintf("Scan %03d.pdf", n), 1000, o.client)
	}
	o.eventually("/", fmt.Sprintf("<b>%d</b> waiting", many))
	do(ctx, t, "cancel all that wait", press(".tiles a"), seen("h1", "Transfers"), press(`button[name=all][formaction$=cancel]`),
		seen("main", "230 transfers match"), press("form button.main"), seen("h1", "Cancelling"), seen("#task", "Finished. 230 of 230 transfers cancelled"))
	do(ctx, t, "resume the portal", chromedp.Navigate(o.url+"/"), press("section[aria-labelledby=pauses] button"), seen("#notice", "not paused"))
	do(ctx, t, "retry all of them, and see how far that is", chromedp.Navigate(o.url+"/transfers?state=cancelled"), press(`button[name=all][formaction$=retry]`),
		seen("main", "230 transfers match"), press("form button.main"), seen("h1", "Retrying"), holds(`document.querySelector('progress').max === 100`),
		seen("#task", "Finished. 230 of 230 transfers queued again"), holds(`document.querySelector('progress').value === 100`))
	do(ctx, t, "see them arrive", press(`nav a[href="/"]`), seen(".tiles", "230 done"))
}

func TestAStoredEventIsPickedInThePlayground(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	o.portal.Upload(o.bramley, "Plan.odt", 1000, o.client)
	o.portal.Upload(o.halden, "Crane signed.jpg", 1000, o.client)
	o.eventually("/events", "Plan.odt")
	o.eventually("/events", "Crane signed.jpg")
	id := func(title string) string { return strings.TrimPrefix(o.link("/events", title), "/events/") }
	do(ctx, t, "pick an event", chromedp.Navigate(o.url+"/playground"), seen("#verdicts", "Choose a stored event"),
		set("#event", id("Plan.odt")), holds(`document.querySelector('#body').value.includes('"Plan.odt"')`), seen("#verdicts", "0 rules match"))
	do(ctx, t, "pick another in its place", set("#event", id("Crane signed.jpg")), holds(`document.querySelector('#body').value.includes('"Crane signed.jpg"')`),
		seen("#verdicts", "1 rule matches"), seen("#verdicts", "Halden Shipyard, shared"))
	do(ctx, t, "change what was picked", set("#rule", "halden-photos"), holds(`document.querySelector('#when').value.includes('jpg')`),
		set("#when", `file.extension == "png"`), seen("#verdicts", "0 rules match"), seen("#verdicts", "as it is written above"))
}
