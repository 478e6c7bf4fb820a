package browsertest

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// tabTo presses Tab until an element has the focus. Whatever has it on the way must show that.
func tabTo(selector string) step {
	return chromedp.Steps(ready(), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		for range 100 {
			if err := chromedp.Do(ctx, keys(kb.Tab)); err != nil {
				return err
			}
			at, err := chromedp.Run(ctx, chromedp.Evaluate[struct {
				There bool
				Bad   string
			}](fmt.Sprintf(`(() => {
				const e = document.activeElement, {left, top, width, height} = e.getBoundingClientRect(), style = getComputedStyle(e);
				let bad = '';
				if (e === document.body) return {There: false, Bad: ''}; // the window's own buttons come next
				if (width < 4 || height < 4 || left + width < 0 || top + height < 0 || top > window.innerHeight) bad = 'it is out of sight';
				if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2 || /, 0\)$/.test(style.outlineColor)) bad = 'it has no outline';
				return {There: e.matches(%q), Bad: bad && bad + ': ' + e.outerHTML};
			})()`, selector)))
			if err != nil {
				return err
			}
			if at.Bad != "" {
				return fmt.Errorf("the focus cannot be seen: %s", at.Bad)
			}
			if at.There {
				return nil
			}
		}
		return fmt.Errorf("Tab does not lead to %s", selector)
	}))
}

func keys(keys string) step { return chromedp.KeyEvent(keys) }

// TestTheKeyboardIsEnough does what each page is for with Tab, Enter, the space bar and letters.
func TestTheKeyboardIsEnough(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	mend := o.fill()
	o.eventually("/transfers?state=failed", "Tender offer.pdf")
	event := o.link("/events", "setup.exe")

	do(ctx, t, "skip what every page begins with", chromedp.Navigate(o.url+"/"), tabTo("a.skip"), keys(kb.Enter), holds(`document.activeElement.id === 'main'`))
	do(ctx, t, "go from the overview to what failed", chromedp.Navigate(o.url+"/"), tabTo(`.tiles a[href*="failed"]`), keys(kb.Enter), seen("h1", "Transfers"), seen("tbody", "Tender offer.pdf"))
	do(ctx, t, "search", tabTo("input[name=q]"), keys("tender"+kb.Enter), holds(`location.search.includes('q=tender')`), seen("tbody", "Tender offer.pdf"))
	do(ctx, t, "choose a row, and open it", tabTo("input[name=id]"), keys(" "), holds(`document.activeElement.checked`),
		chromedp.Navigate(o.url+"/transfers?state=failed"), tabTo("tbody a"), keys(kb.Enter), seen("h1", "Tender offer.pdf"))
	mend()
	do(ctx, t, "retry it", tabTo("#retry"), keys(kb.Enter), seen("#state", "done"),
		holds(`document.activeElement.id === 'main'`)) // rather than being thrown back to the top
	do(ctx, t, "search events", chromedp.Navigate(o.url+"/events"), tabTo("input[name=rule]"), keys("bramley-signed"+kb.Enter), holds(`document.querySelectorAll('tbody tr').length === 1`),
		tabTo("tbody a"), keys(kb.Enter), seen("h1", "Lease agreement signed.pdf"))
	do(ctx, t, "replay", chromedp.Navigate(o.url+event), tabTo("#replay"), keys(kb.Enter), seen("#notice", "routed again"))
	do(ctx, t, "pause a rule", chromedp.Navigate(o.url+"/rules"), tabTo("#halden-photos summary"), keys(kb.Enter), holds(`document.querySelector('#halden-photos details').open`),
		tabTo("#halden-photos input[name=reason]"), keys("audit"), tabTo("#halden-photos input[name=author]"), keys("Ana"), tabTo("#halden-photos details button"), keys(kb.Enter),
		seen("#halden-photos", "by Ana: audit"))
	do(ctx, t, "resume it", chromedp.Navigate(o.url+"/"), tabTo("section[aria-labelledby=pauses] button"), keys(kb.Enter), seen("#notice", "not paused any more"))
	do(ctx, t, "try a condition", chromedp.Navigate(o.url+"/playground?rule=halden-photos&event="+event[len("/events/"):]), seen("#verdicts", "0 rules match"),
		tabTo("#when"), chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)), keys(`file.extension == "exe"`), seen("#verdicts", "1 rule matches"))
	do(ctx, t, "load the rules file", chromedp.Navigate(o.url+"/rules-file"), tabTo("form[action$=reload] button"), keys(kb.Enter), seen("#notice", "The rules file is loaded"))
}

// TestNewsWaitsForTheKeyboard is about somebody who goes through a list while more comes in.
func TestNewsWaitsForTheKeyboard(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	o.portal.Upload(o.bramley, "First.pdf", 1000, o.client)
	o.eventually("/transfers?state=done", "First.pdf")
	do(ctx, t, "go to a row", chromedp.Navigate(o.url+"/transfers"), tabTo("tbody a"))
	o.portal.Upload(o.bramley, "Second.pdf", 1000, o.client)
	do(ctx, t, "be told that the page waits, and stay", seen(".live", "not updated while in use"), holds(`document.activeElement.innerText === 'First.pdf'`),
		holds(`!document.querySelector('tbody').innerText.includes('Second.pdf')`))
	do(ctx, t, "leave the list, and see it", tabTo("footer a"), seen("tbody", "Second.pdf"), holds(`document.querySelector('.live').innerText === 'live'`))

	do(ctx, t, "open a form", chromedp.Navigate(o.url+"/rules"), press("#halden-photos summary"), holds(`document.querySelector('#halden-photos details').open`))
	o.portal.Upload(o.halden, "Dry dock 3.jpg", 1000, o.client)
	do(ctx, t, "be told again", seen(".live", "not updated while in use"), seen("#halden-photos", "never"))
	do(ctx, t, "fold the form up, and see the hit", press("#halden-photos summary"), holds(`document.querySelector('#halden-photos td.num b').innerText === '1'`))
}
