package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"docspace-router/internal/app"
)

// gallery brings about everything that the pages can show, and returns the addresses of all of them.
func (o *office) gallery() []string {
	o.t.Helper()
	o.fill()
	o.eventually("/transfers?state=failed", "Tender offer.pdf")
	o.post("/pause", url.Values{"scope": {"portal"}, "name": {"default"}, "for": {"2h"}, "author": {"Ana"}, "reason": {"the auditors are here"}})
	o.portal.Upload(o.halden, "Hull section 16.dwg", 1000, o.client)
	o.eventually("/transfers?state=queued", "held")
	o.post("/transfers/cancel", url.Values{"q": {"nothing of this name"}, "all": {"1"}, "sure": {"1"}}) // which is task 1
	o.write(strings.Replace(o.ruleText(""), "file.size", "file.sise", 1))
	o.eventually("/rules-file", "sise")
	o.eventually("/rules", "Photo archive")
	event := o.link("/events", "Tender offer.pdf")
	return []string{
		"/", "/transfers", "/transfers?state=done", "/transfers?q=nothing+of+this+name", o.link("/transfers?state=failed", "Tender offer.pdf"),
		o.link("/transfers", "Hull section 16.dwg"), "/events", event + "?why=1", "/rules", "/tasks/1",
		"/playground?rule=bramley-documents&event=" + strings.TrimPrefix(event, "/events/"), "/rules-file", "/transfers/999999",
	}
}

// visit opens a page and all that is folded up in it.
func visit(address string) step {
	return chromedp.Steps(chromedp.Navigate(address), ready(),
		holds(`(() => { for (const d of document.querySelectorAll('details')) d.open = true; return !document.querySelector('.htmx-request'); })()`))
}

// faults evaluates an expression that finds what is wrong with a page.
func faults(ctx context.Context, t *testing.T, page, expression string) {
	t.Helper()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](expression))
	if err != nil {
		t.Fatalf("%s: %v", page, err)
	}
	for _, f := range found {
		t.Errorf("%s: %s", page, f)
	}
}

// media makes the browser say that a person prefers a scheme of colours.
func media(scheme string) step {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	})
}

// inPage are the checks that a page's own document answers.
const inPage = `(() => {
	const bad = [], all = (s) => [...document.querySelectorAll(s)];
	const signedIn = location.pathname !== '/sign-in';
	for (const s of ['h1', 'main', 'a.skip[href="#main"]', '#notice[role=status]', ...(signedIn ? ['nav[aria-label="Pages"]'] : [])])
		if (all(s).length !== 1) bad.push(all(s).length + ' of ' + s);
	if (signedIn && all('nav [aria-current]').length > 1) bad.push('it is several pages of the navigation');
	if (document.title !== all('h1')[0].innerText + ' · docspace-router') bad.push('title: ' + document.title);
	if (!document.documentElement.lang) bad.push('no language');
	let level = 0;
	for (const e of all('h1, h2, h3, h4')) {
		const now = Number(e.tagName[1]);
		if (now > level + 1) bad.push('a heading is left out before ' + e.outerHTML);
		level = now;
	}
	for (const e of all('th')) if (!e.innerText.trim() && !e.querySelector('[aria-label]') || !e.scope) bad.push('a header that says nothing: ' + e.outerHTML);
	for (const e of all('table')) if (!e.querySelector('thead th')) bad.push('no header: ' + e.outerHTML);
	for (const e of all('.scroll')) if (e.scrollWidth > e.clientWidth && !e.querySelector('a, button, input, summary') && e.tabIndex < 0) bad.push('cannot be scrolled with keys: ' + e.innerText);
	for (const e of all('main p a, main dd a')) // colour alone does not tell a link from the text around it
		if (e.parentElement.innerText.trim() !== e.innerText.trim() && !e.matches('.button') && !getComputedStyle(e).textDecorationLine.includes('underline')) bad.push('looks like text: ' + e.outerHTML);
	const regions = all('section[aria-labelledby], [role=region], [role=search], nav').map((e) => e.getAttribute('aria-label') || document.getElementById(e.getAttribute('aria-labelledby'))?.innerText);
	for (const r of regions) if (regions.indexOf(r) !== regions.lastIndexOf(r)) bad.push('two regions are called ' + r);
	for (const e of all('script:not([src]), style, [style], [onclick]')) bad.push('inline: ' + e.outerHTML);
	const ids = all('[id]').map((e) => e.id);
	for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push('twice: #' + id);
	for (const a of ['aria-labelledby', 'aria-describedby', 'for', 'list'])
		for (const e of all('[' + a + ']')) for (const id of e.getAttribute(a).split(' '))
			if (!ids.includes(id)) bad.push(a + ' names no element: ' + e.outerHTML);
	return bad;
})()`

// nameless are the roles of Chromium's accessibility tree that are of no use without a name.
var nameless = []string{
	"button", "link", "textbox", "searchbox", "combobox", "ComboBoxSelect", "ComboBoxMenuButton", "TextFieldWithComboBox", "checkbox", "DisclosureTriangle",
	"progressbar", "table", "columnheader", "rowheader", "navigation", "region", "search", "image", "img", "heading",
}

// spoken checks what a page says to a screen reader, as Chromium tells it.
func spoken(ctx context.Context, t *testing.T, page string) {
	t.Helper()
	type node struct{ role, name string }
	var nodes []node
	do(ctx, t, "ask what "+page+" says", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		tree, err := cdp.Call(ctx, target, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		if err != nil {
			return err
		}
		text := func(v *accessibility.Value) (s string) {
			if v != nil {
				_ = json.Unmarshal(v.Value, &s) // what is no text has none
			}
			return strings.TrimSpace(s)
		}
		for _, n := range tree.Nodes {
			if !n.Ignored {
				nodes = append(nodes, node{text(n.Role), text(n.Name)})
			}
		}
		return nil
	}))
	count := map[string]int{}
	for _, n := range nodes {
		count[n.role]++
		if n.name == "" && slices.Contains(nameless, n.role) {
			t.Errorf("%s: a %s without a name", page, n.role)
		}
	}
	for _, landmark := range []string{"banner", "main", "contentinfo"} {
		if count[landmark] != 1 {
			t.Errorf("%s: %d landmarks %s", page, count[landmark], landmark)
		}
	}
	if len(nodes) < 20 {
		t.Errorf("%s: only %v", page, nodes)
	}
}

func TestPagesSpeakToScreenReaders(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	titles := map[string]string{}
	look := func(page string) {
		faults(ctx, t, page, inPage)
		spoken(ctx, t, page)
		title, err := chromedp.Run(ctx, chromedp.Title())
		if err != nil {
			t.Fatal(err)
		}
		if path, _, _ := strings.Cut(page, "?"); titles[title] == "" {
			titles[title] = path
		} else if titles[title] != path && !strings.Contains(title, "Tender offer") { // the transfer and the event
			t.Errorf("%s and %s are both called %q", page, titles[title], title)
		}
	}
	for _, path := range o.gallery() {
		do(ctx, t, "open "+path, visit(o.url+path))
		look(path)
	}
	do(ctx, t, "be asked", chromedp.Navigate(o.url+"/transfers?state=failed"), press(`button[name=all][formaction$=retry]`), seen("h1", "Are you sure?"))
	look("the question before many are retried")
	closed := open(t, func(o *app.Options) { o.AdminToken = "Canary-Token-2026" })
	do(ctx, t, "be asked to sign in", visit(closed.url+"/sign-in"))
	look("/sign-in")
}

// dim finds text that is too faint on its ground: a ratio below 4.5 as WCAG computes it.
const dim = `(() => {
	const bad = new Set(), parse = (c) => {
		const m = c.match(/^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/);
		if (!m) throw new Error('not understood: ' + c);
		return [Number(m[1]), Number(m[2]), Number(m[3]), m[4] === undefined ? 1 : Number(m[4])];
	};
	const over = (top, ground) => [0, 1, 2].map((i) => top[i] * top[3] + ground[i] * (1 - top[3])).concat(1);
	const light = (c) => {
		const [r, g, b] = c.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const ground = (e) => {
		const layers = [];
		for (; e; e = e.parentElement) {
			const rect = e.tagName === 'g' && e.querySelector('rect');
			const c = parse(rect ? getComputedStyle(rect).fill : getComputedStyle(e).backgroundColor);
			layers.unshift(c);
			if (c[3] === 1) break;
		}
		return layers.reduce((below, c) => over(c, below), [255, 255, 255, 1]);
	};
	const check = (e, color, what) => {
		let shown = 1;
		for (let a = e; a; a = a.parentElement) shown *= Number(getComputedStyle(a).opacity);
		const below = ground(e), top = parse(color);
		const [a, b] = [light(over([top[0], top[1], top[2], top[3] * shown], below)), light(below)].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < 4.5) bad.add(ratio.toFixed(2) + ' for ' + what + ' in ' + e.tagName + '.' + (e.getAttribute('class') || ''));
		return 1;
	};
	let n = 0;
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
		if (!text || !e.checkVisibility({visibilityProperty: true}) || e.closest('.out, option, [disabled], svg title')) continue;
		const style = getComputedStyle(e);
		n += check(e, e.namespaceURI.endsWith('svg') ? style.fill : style.color, text.slice(0, 30));
	}
	for (const e of document.querySelectorAll('[placeholder]:not([disabled])'))
		if (e.checkVisibility()) check(e, getComputedStyle(e, '::placeholder').color, 'its placeholder');
	if (n < 10) bad.add('only ' + n + ' texts were looked at');
	return [...bad];
})()`

// wide finds what makes a page wider than its window.
const wide = `(() => {
	const over = document.scrollingElement.scrollWidth - window.innerWidth;
	if (over <= 0) return [];
	return ['the page is ' + over + ' px too wide: ' + [...document.querySelectorAll('main *, header *, footer *')]
		.filter((e) => (e.getBoundingClientRect().right > window.innerWidth + 1 || e.scrollWidth > e.clientWidth) && !e.closest('.scroll, pre')).map((e) => e.outerHTML.slice(0, 80)).slice(0, 5)];
})()`

func TestPagesAreReadableOnAnyScreen(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	pages := o.gallery()
	closed := open(t, func(o *app.Options) { o.AdminToken = "Canary-Token-2026" })
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			do(ctx, t, "change the screen", chromedp.EmulateViewport(width, 844), media(scheme))
			look := func(address, page string) {
				page = fmt.Sprintf("%s, %s, %d px", page, scheme, width)
				do(ctx, t, "open "+page, visit(address),
					holds(fmt.Sprintf(`window.innerWidth === %d && matchMedia('(prefers-color-scheme: %s)').matches`, width, scheme)))
				faults(ctx, t, page, wide)
				faults(ctx, t, page, dim)
			}
			for _, path := range pages {
				look(o.url+path, path)
			}
			look(closed.url+"/sign-in", "/sign-in")
		}
	}
}

// fetched waits until a page has been read a second time, as somebody without scripts reads it.
const fetched = `(() => {
	window.asked ||= fetch(location.href).then((r) => r.text()).then((t) => { window.plain = new DOMParser().parseFromString(t, 'text/html'); });
	return !!window.plain;
})()`

// scripted finds what a page shows to those with scripts only. Times pass between the two readings.
const scripted = `(() => {
	const text = window.plain.body.textContent.replace(/\s+/g, ' ');
	const lines = document.body.innerText.split(/[\n\t]+/).map((l) => l.trim().replace(/\s+/g, ' ')).filter((l) => l && l !== 'live' && !/\bago\b|just now|UTC/.test(l));
	const bad = lines.filter((l) => !text.includes(l)).map((l) => 'only with scripts: ' + l);
	for (const e of window.plain.querySelectorAll('[hidden]:not(.live, [data-script], #wrong)')) bad.push('hidden without scripts: ' + e.outerHTML);
	for (const e of window.plain.querySelectorAll('button')) if (!e.closest('form[action]')) bad.push('does nothing without scripts: ' + e.outerHTML);
	if (lines.length < 10) bad.push('only ' + lines.length + ' lines');
	return bad;
})()`

func TestNothingNeedsScripts(t *testing.T) {
	ctx := browser(t)
	o := open(t)
	for _, path := range o.gallery() {
		do(ctx, t, "open "+path, visit(o.url+path), holds(fetched))
		faults(ctx, t, path, scripted)
	}
}
