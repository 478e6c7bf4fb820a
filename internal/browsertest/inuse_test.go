package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"docspace-router/internal/portalsim"
)

// mouse presses or releases the left button over an element.
func mouse(what input.DispatchMouseEventType, selector string) step {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		at, err := chromedp.Evaluate[struct{ X, Y float64 }](fmt.Sprintf(`(() => {
			const {x, y, width, height} = document.querySelector(%q).getBoundingClientRect();
			return {X: x + width / 2, Y: y + height / 2};
		})()`, selector))(ctx, target)
		if err != nil {
			return err
		}
		_, err = chromedp.MouseEvent(what, at.X, at.Y, chromedp.ButtonLeft, chromedp.ClickCount(1))(ctx, target)
		return err
	})
}

// TestAPageThatIsUsedStaysAsItIs has files arrive while somebody writes, and between the press and the
// release of a button of the mouse.
func TestAPageThatIsUsedStaysAsItIs(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	missed, live := seen(".live", "not updated while in use"), holds(`document.querySelector('.live').innerText === 'live'`)
	upload := func(title string) {
		o.portal.Upload(o.bramley, title, 1000, o.client)
		o.eventually("/transfers?state=done", title)
	}
	upload("Ledger.xlsx")
	do(ctx, t, "see what came first", chromedp.Navigate(o.url+"/transfers"), ready(), seen("tbody", "Ledger.xlsx"))

	busy := o.portal.Inject(portalsim.Fault{Kind: portalsim.RateLimit, Method: http.MethodPut})
	o.portal.Upload(o.bramley, "Ledger 0.xlsx", 1000, o.client)
	do(ctx, t, "be offered to choose what waits", holds(`document.querySelector('[data-all]') !== null`), seen("tbody", "queued"))
	busy()
	do(ctx, t, "see it arrive", holds(`![...document.querySelectorAll('tbody tr')].some((row) => row.innerText.includes('queued'))`), live)

	do(ctx, t, "write a name, and look up from it", set("input[name=q]", "ledger"), holds(`document.activeElement.blur() === undefined`))
	upload("Accounts.xlsx")
	do(ctx, t, "keep what was written", missed, holds(`document.querySelector('input[name=q]').value === 'ledger'`))
	do(ctx, t, "press Search", mouse(chromedp.MousePressed, ".filters button"))
	upload("Ledger 2.xlsx")
	do(ctx, t, "release it, and find both", mouse(chromedp.MouseReleased, ".filters button"),
		holds(`location.search.includes('ledger')`), ready(), seen("tbody", "Ledger.xlsx"), seen("tbody", "Ledger 2.xlsx"))

	do(ctx, t, "press on a transfer", mouse(chromedp.MousePressed, "tbody tr:last-child a"))
	upload("Ledger 3.xlsx")
	do(ctx, t, "release it elsewhere, and see what was missed", missed, mouse(chromedp.MouseReleased, "footer"),
		live, seen("tbody", "Ledger 3.xlsx"))
	do(ctx, t, "press on a transfer again", mouse(chromedp.MousePressed, "tbody tr:last-child a"))
	upload("Ledger 4.xlsx")
	do(ctx, t, "come to it", missed, mouse(chromedp.MouseReleased, "tbody tr:last-child a"), seen("h1", "Ledger.xlsx"))
}
