package browsertest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"docspace-router/internal/app"
)

// TestAFailedTransferIsFoundAndMended is a morning with an angry client on the phone.
func TestAFailedTransferIsFoundAndMended(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	mend := o.fill()
	o.eventually("/transfers?state=failed", "Tender offer.pdf")
	do(ctx, t, "find the file by a part of its name",
		chromedp.Navigate(o.url+"/transfers"),
		set("input[name=q]", "tender"), press(".filters button"),
		seen("table", "Tender offer.pdf"), holds(`document.querySelectorAll('tbody tr').length === 1`))
	do(ctx, t, "read why", press("tbody a"), seen("h1", "Tender offer.pdf"), seen("#state", "failed"),
		seen(".story", "The storage quota is exceeded"), seen(".story", "Rule bramley-documents matched"))
	mend()
	do(ctx, t, "retry it, and see it done without reloading the page",
		ready(), holds(`(window.samePage = true)`),
		press("#retry"), seen("#state", "done"), seen(".story", "Retried"), holds(`window.samePage === true`))
	do(ctx, t, "follow the link into DocSpace", holds(`document.querySelector('.facts a[href*="doceditor"]') !== null`))
}

// TestTransfersAreFoundByRoom has a client on the phone who knows what the room is called.
func TestTransfersAreFoundByRoom(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	o.portal.Upload(o.bramley, "Ledger.xlsx", 1000, o.client)
	o.portal.Upload(o.halden, "Dry dock.jpg", 1000, o.client)
	o.eventually("/transfers?state=done", "Ledger.xlsx")
	o.eventually("/transfers?state=done", "Dry dock.jpg")
	o.eventually("/transfers", "Sons, shared") // its names have been looked up
	search := func(room string) step {
		return chromedp.Steps(set("input[name=room]", room), press(".filters button"))
	}
	rows := func(n int) step { return holds(fmt.Sprintf(`document.querySelectorAll('tbody tr').length === %d`, n)) }
	do(ctx, t, "be offered the names of rooms", chromedp.Navigate(o.url+"/transfers"),
		holds(`[...document.querySelectorAll('#room-names option')].some((o) => o.value === 'Bramley & Sons, shared')`))
	do(ctx, t, "find what came from a client", search("bramley & sons, SHARED"), seen("#rooms", "Bramley & Sons, shared"), rows(1), seen("tbody", "Ledger.xlsx"))
	do(ctx, t, "find what went to a room", search("photo"), seen("#rooms", "Photo archive"), rows(1), seen("tbody", "Dry dock.jpg"))
	do(ctx, t, "find both sides by an id", search(string(o.haldenInside)), seen("main", "No transfer is like that"),
		search(string(o.halden)), rows(1), seen("tbody", "Dry dock.jpg"))
	do(ctx, t, "be told that there is no such room", search("Kitchen"), seen("#note", `is called "Kitchen"`), rows(0))
	do(ctx, t, "read on a transfer where it came from", search("photo"), rows(1), press("tbody a"),
		seen(".facts", "Halden Shipyard, shared"), seen(".story", `from "Halden Shipyard, shared" to "Photo archive"`))
}

// TestWhatNoRuleWantedIsFoundByItsName has a client ask for a file that has not arrived.
func TestWhatNoRuleWantedIsFoundByItsName(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	o.portal.Upload(o.bramley, "Plan & survey.odt", 1000, o.client)
	o.portal.Upload(o.bramley, "Sketch.odg", 1000, o.client)
	o.eventually("/events?state=ignored", "survey.odt")
	o.eventually("/events?state=ignored", "Sketch.odg")
	do(ctx, t, "look for it among the transfers", chromedp.Navigate(o.url+"/transfers"), holds(`!document.querySelector('.empty a')`),
		set("input[name=q]", "plan & survey"), press(".filters button"), seen(".empty", "No transfer is like that. What no rule wanted is among the events."))
	do(ctx, t, "look among the events", press(".empty a"), seen("h1", "Events"), seen("tbody", "Plan & survey.odt"),
		holds(`document.querySelectorAll('tbody tr').length === 1`), holds(`document.querySelector('input[name=q]').value === 'plan & survey'`))
	do(ctx, t, "look for another", set("input[name=q]", "sketch"), press(".filters button"), seen("tbody", "Sketch.odg"),
		holds(`document.querySelectorAll('tbody tr').length === 1`))
}

func TestAPageFollowsWhatHappens(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	do(ctx, t, "open the list", chromedp.Navigate(o.url+"/transfers"), seen("main", "No transfers yet"), holds(`!document.querySelector('.live').hidden`))
	o.portal.Upload(o.bramley, "Ledger.xlsx", 1000, o.client)
	do(ctx, t, "see the transfer come and end", seen("tbody", "Ledger.xlsx"), seen("tbody", "done"))
	do(ctx, t, "look at the overview", press(`nav a[href="/"]`), seen(".tiles", "1 done"), seen(".legend", "1 event accepted"))
}

func TestThePlaygroundTriesAConditionAtOnce(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	o.portal.Upload(o.bramley, "Plan.odt", 1000, o.client)
	o.eventually("/events", "Plan.odt")
	do(ctx, t, "choose a stored event and a rule", chromedp.Navigate(o.url+o.link("/events", "Plan.odt")),
		seen("#why", "0 rules match"), press(`#why a[href*="/playground"]`), seen("#verdicts", "0 rules match"))
	do(ctx, t, "choose a rule", set("#rule", "bramley-documents"), holds(`document.querySelector('#when').value.includes('xlsx')`))
	do(ctx, t, "write another condition", set("#when", `file.extension == "odt"`), seen("#verdicts", "1 rule matches"))
	do(ctx, t, "write a wrong one", set("#when", `file.ending == "odt"`), seen("#verdicts", "ending"))
	if len(o.portal.Calls().Batches) > 0 || strings.Contains(o.page("/transfers"), "Plan.odt") {
		t.Error("something was sent")
	}
}

func TestABrokenRulesFileIsShown(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	do(ctx, t, "open the page", chromedp.Navigate(o.url+"/rules-file"), seen("main", "The file is in use as it stands"))
	o.write(strings.Replace(o.ruleText(""), "file.size", "file.sise", 1))
	do(ctx, t, "see the error appear, with its place", seen(".problems", "rules.yaml:20:"), seen(".problems", "sise"), seen("main", "stays in use"))
	o.write(strings.Replace(o.ruleText(""), "50 * MB", "80 * MB", 1))
	do(ctx, t, "see it go, and what the mended file changed", seen(".diff .new", "80 * MB"), seen(".diff .gone", "50 * MB"),
		holds(`document.querySelector('.problems') === null`))
}

func TestARuleIsPausedAndResumed(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	do(ctx, t, "pause a rule", chromedp.Navigate(o.url+"/rules"), press("#bramley-documents summary"),
		holds(`document.querySelector('#bramley-documents details').open`),
		set("#bramley-documents input[name=reason]", "audit"), set("#bramley-documents input[name=author]", "Ana"),
		press("#bramley-documents details button"), seen("#bramley-documents", "by Ana: audit"))
	o.portal.Upload(o.bramley, "Ledger.xlsx", 1000, o.client)
	do(ctx, t, "see its transfer held", chromedp.Navigate(o.url+"/transfers"), seen("tbody", "held"))
	do(ctx, t, "resume it", chromedp.Navigate(o.url+"/rules"), press("#bramley-documents .held button"),
		seen("#notice", "not paused"), chromedp.Navigate(o.url+"/transfers"), seen("tbody", "done"))
}

func TestPeopleSignIn(t *testing.T) {
	ctx := browser(t)
	o := open(t, func(o *app.Options) { o.AdminToken = "Canary-Token-2026" })
	do(ctx, t, "be asked to sign in", chromedp.Navigate(o.url+"/transfers"), seen("h1", "Sign in"))
	do(ctx, t, "try a wrong token", chromedp.SendKeys("#token", "wrong"), press("button.main"), seen("#wrong", "not the admin token"))
	do(ctx, t, "sign in", chromedp.SendKeys("#token", "Canary-Token-2026"), press("button.main"), seen("h1", "Transfers"))
	do(ctx, t, "sign out", press(".top form button"), seen("h1", "Sign in"), chromedp.Navigate(o.url+"/rules"), seen("h1", "Sign in"))
}

func TestManyAreRetriedAfterTheirNumberIsTold(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	mend := o.fill()
	o.portal.Upload(o.bramley, "Second offer.pdf", 1000, o.client)
	o.eventually("/transfers?state=failed", "Tender offer.pdf")
	o.eventually("/transfers?state=failed", "Second offer.pdf")
	mend()
	do(ctx, t, "ask for all that match", chromedp.Navigate(o.url+"/transfers?q=offer"), press(`button[name=all][formaction$=retry]`),
		seen("main", "2 transfers match"))
	do(ctx, t, "say yes, and see it finish", press("form button.main"), seen("#task", "Finished. 2 of 2 transfers queued again"))
	o.eventually("/transfers?state=done", "Second offer.pdf")
}
