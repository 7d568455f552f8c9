package integration

// The operator's page by the keyboard alone.

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

const (
	tabKey   = "\t"
	enterKey = "\r"
	// manyTabs are more than a page has places to go to.
	manyTabs = 80
)

// focused says of the element with the focus: "out" where none has it, "same" where it is the one before,
// what is wrong with it, or nothing. The focus must be seen, and go through the page in its order.
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
		box.top >= innerHeight) return name + " has the focus where it is not seen";
	if (before && before.isConnected && before !== document.body &&
		!(before.compareDocumentPosition(at) & Node.DOCUMENT_POSITION_FOLLOWING))
		return name + " is out of order";
	return "";
})()`

func (p *tab) press(keys string) {
	p.t.Helper()
	p.do(fmt.Sprintf("pressing %q", keys), chromedp.KeyEvent(keys))
}

// step presses Tab and returns whether an element of the page has the focus then.
func (p *tab) step() bool {
	p.t.Helper()
	p.press(tabKey)
	state, err := p.evaluate(focused)
	switch {
	case err != nil:
		p.t.Fatal(err)
	case state == "same":
		p.t.Fatalf("Tab leads nowhere:\n%s", p.text())
	case state != "" && state != "out":
		p.t.Errorf("%s:\n%s", state, p.text())
	}
	return state != "out"
}

// tabTo presses Tab until what the selector finds has the focus.
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
	p.t.Fatalf("Tab does not come to %s:\n%s", selector, p.text())
}

// An operator signs in, searches, opens a session and ends it, by Tab, Enter and letters.
func TestKeyboardAlone(t *testing.T) {
	t.Parallel()
	c := startChrome(t)
	p := startDemo(t)
	c.signInAtDemo(p)
	admin := c.tab()
	admin.look(1280, "light")
	admin.open(p.issuer + "/admin")
	admin.until("the field has the focus, or is there", `document.querySelector("#token")`)
	if at, err := admin.evaluate("document.activeElement.id"); err != nil || at != "token" {
		admin.tabTo("#token")
	}
	admin.press(p.adminToken + enterKey)
	admin.says("1 session")
	c.handOutCookies(p.issuer + "/admin/")

	// The first stop leads past what all pages have.
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

	// No trap: Tab goes through all there is, and out again.
	stops := 0
	for stops < manyTabs && admin.step() {
		stops++
	}
	admin.until("each place was one stop, and the last leads out", fmt.Sprintf(
		`[...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")].filter(
			e => e.type !== "hidden" && !e.disabled && e.getClientRects().length > 0).length === %d`, stops))

	admin.tabTo("a.danger")
	admin.press(enterKey)
	admin.until("the preview asks", `document.querySelector("[data-preview-submit]")`)
	admin.tabTo("[data-preview-submit]")
	admin.press(enterKey)
	admin.says("session ended")
	c.mustNotComplain()
}
