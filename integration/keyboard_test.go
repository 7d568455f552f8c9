package integration

// The operator's pages, by keyboard only.

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

const (
	tabKey   = "\t"
	enterKey = "\r"
	// manyTabs exceeds the number of focusable elements of a page.
	manyTabs = 80
)

// focused checks the focused element: it returns "out" if there is none, "same" if it has not changed, a
// problem, or "". The focus must be visible and follow the page's order.
const focused = `(() => {
	const at = document.activeElement, before = window.focusBefore;
	window.focusBefore = at;
	if (!at || at === document.body) return "out";
	if (at === before) return "same";
	const style = getComputedStyle(at), box = at.getBoundingClientRect();
	const name = at.tagName + " " + (at.id || at.name || at.textContent.trim());
	if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) === 0)
		return name + " shows no focus";
	if (box.width < 2 || box.height < 2 || box.right <= 0 || box.left >= innerWidth || box.bottom <= 0 ||
		box.top >= innerHeight) return name + " has the focus outside of the window";
	if (before && before.isConnected && before !== document.body &&
		!(before.compareDocumentPosition(at) & Node.DOCUMENT_POSITION_FOLLOWING))
		return name + " is out of order";
	return "";
})()`

func (p *tab) press(keys string) {
	p.t.Helper()
	p.do(fmt.Sprintf("pressing %q", keys), chromedp.KeyEvent(keys))
}

// step presses Tab and reports whether an element of the page then has the focus.
func (p *tab) step() bool {
	p.t.Helper()
	p.press(tabKey)
	state, err := p.evaluate(focused)
	switch {
	case err != nil:
		p.t.Fatal(err)
	case state == "same":
		p.t.Fatalf("Tab does not move the focus:\n%s", p.text())
	case state != "" && state != "out":
		p.t.Errorf("%s:\n%s", state, p.text())
	}
	return state != "out"
}

// tabTo presses Tab until the element that the selector matches has the focus.
func (p *tab) tabTo(selector string) {
	p.t.Helper()
	p.until(selector+" is there", fmt.Sprintf("document.querySelector(%q)", selector))
	for range manyTabs {
		p.step()
		at, err := p.evaluate(fmt.Sprintf("String(document.activeElement.matches(%q))", selector))
		if err != nil {
			p.t.Fatal(err)
		}
		if at == "true" {
			return
		}
	}
	p.t.Fatalf("Tab does not reach %s:\n%s", selector, p.text())
}

// An operator signs in, searches, opens a session and ends it, with Tab, Enter and letters.
func TestKeyboardAlone(t *testing.T) {
	t.Parallel()
	c := startChrome(t)
	p := startDemo(t)
	c.signInAtDemo(p)
	admin := c.tab()
	admin.look(1280, "light")
	admin.open(p.issuer + "/admin")
	admin.until("the field exists", `document.querySelector("#token")`)
	if at, err := admin.evaluate("document.activeElement.id"); err != nil || at != "token" {
		admin.tabTo("#token")
	}
	admin.press(p.adminToken + enterKey)
	admin.says("1 session")
	c.handOutCookies(p.issuer + "/admin/")

	// The first stop is the link that skips the navigation.
	admin.step()
	admin.until("the link to the content is the first stop", `document.activeElement.matches("a.skip")`)
	admin.press(enterKey)
	admin.until("the content has the focus", `document.activeElement.id === "main"`)
	admin.step()
	admin.until("the next stop is in the content",
		`document.activeElement !== document.querySelector("main") &&
			document.querySelector("main").contains(document.activeElement)`)

	admin.tabTo("#q")
	admin.press("demo-photos" + enterKey)
	admin.until("the list is narrowed to the client",
		`document.querySelector("#client_id")?.value === "demo-photos"`)
	admin.tabTo("tbody a.name")
	admin.press(enterKey)
	admin.until("the session is shown", `document.querySelector("#timeline")`)

	// No focus trap: Tab reaches every element and leaves the page.
	stops := 0
	for stops < manyTabs && admin.step() {
		stops++
	}
	admin.until("each element was one stop, and the last leaves the page", fmt.Sprintf(
		`[...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")].filter(
			e => e.type !== "hidden" && !e.disabled && e.getClientRects().length > 0).length === %d`, stops))

	admin.tabTo("a.danger")
	admin.press(enterKey)
	admin.until("the preview shows its form", `document.querySelector("[data-preview-submit]")`)
	admin.tabTo("[data-preview-submit]")
	admin.press(enterKey)
	admin.says("session ended")
	c.mustNotComplain()
}
