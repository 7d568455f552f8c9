package integration

// The operator's pages in a real browser.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// chromePatience bounds the wait for a condition on a page, on a slow machine.
const chromePatience = 60 * time.Second

// chrome is a running headless Chromium.
type chrome struct {
	t       testing.TB
	context context.Context

	mu sync.Mutex
	// complaints are errors that the browser reported, such as violations of a page's policy.
	complaints []string
}

// startChrome starts a browser. In CI a missing one fails the test.
func startChrome(t testing.TB) *chrome {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is not installed")
		}
		t.Skip("chromium is not installed: on Debian, apt-get install chromium")
	}
	// For the browser's temporary files. The path of t.TempDir is too long for its socket.
	temporary, err := os.MkdirTemp("", "chrome")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(temporary); err != nil {
			t.Error(err)
		}
	})
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.Env("TMPDIR="+temporary))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // with a sandbox it refuses to run as root
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	browser, cancelBrowser := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		closing, done := context.WithTimeout(browser, chromePatience)
		defer done()
		if err := chromedp.Cancel(closing); err != nil && !errors.Is(err, context.Canceled) {
			t.Logf("closing chromium: %v", err)
		}
		cancelBrowser()
		cancel()
	})
	c := &chrome{t: t, context: browser}
	c.tab() // the first tab stays open as long as the browser
	return c
}

// handOutCookies registers the cookies that the browser sends to an address with the watch for secrets in
// logs.
func (c *chrome) handOutCookies(address string) {
	c.t.Helper()
	found, err := chromedp.Call(c.context, network.GetCookies,
		network.GetCookiesParams{URLs: []string{address}})
	if err != nil || len(found.Cookies) == 0 {
		c.t.Fatalf("cookies of %s: %v, error %v", address, found.Cookies, err)
	}
	for _, cookie := range found.Cookies {
		handedOut("cookie", cookie.Value)
	}
}

// tab is a browser tab.
type tab struct {
	t       testing.TB
	context context.Context
}

// tab opens a tab; chromedp.WithNewBrowserContext gives it its own cookies, as on a different machine.
func (c *chrome) tab(options ...chromedp.ContextOption) *tab {
	c.t.Helper()
	page := c.context
	if chromedp.FromContext(page).Target != nil {
		var cancel context.CancelFunc
		page, cancel = chromedp.NewContext(c.context, options...)
		c.t.Cleanup(cancel)
	}
	err := chromedp.Do(page, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, cdplog.Enable, cdp.Empty{})
		return err
	}))
	if err == nil {
		err = chromedp.Listen(page, func(event any) {
			entry, ok := event.(*cdplog.EventEntryAdded)
			// Messages about a response's status are expected.
			if ok && entry.Entry.Level == cdplog.EntryLevelError &&
				entry.Entry.Source != cdplog.EntrySourceNetwork {
				c.mu.Lock()
				c.complaints = append(c.complaints, entry.Entry.URL+": "+entry.Entry.Text)
				c.mu.Unlock()
			}
		})
	}
	if err != nil {
		c.t.Fatalf("opening a tab: %v", err)
	}
	return &tab{t: c.t, context: page}
}

func (c *chrome) mustNotComplain() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, complaint := range c.complaints {
		c.t.Errorf("the browser reports: %s", complaint)
	}
}

// do runs actions on a page.
func (p *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.context, chromePatience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v\n%s", what, err, p.text())
	}
}

func (p *tab) open(address string) {
	p.t.Helper()
	p.do("opening "+address, chromedp.Navigate(address))
}

// click clicks the element that a selector matches, once it exists.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.do("clicking "+selector, chromedp.WaitVisible(chromedp.CSS(selector)),
		chromedp.Click(chromedp.CSS(selector)))
}

func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.do("filling in "+selector, chromedp.WaitVisible(chromedp.CSS(selector)),
		chromedp.SetValue(chromedp.CSS(selector), text))
}

// choose selects an option of a list.
func (p *tab) choose(selector, value string) {
	p.t.Helper()
	p.do("choose in "+selector, chromedp.SetValue(chromedp.CSS(selector), value))
}

// until waits until an expression is true, also across navigations.
func (p *tab) until(what, expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(chromePatience); ; time.Sleep(50 * time.Millisecond) {
		answer, err := p.evaluate("String(document.readyState === 'complete' && Boolean(" + expression + "))")
		if answer == "true" {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("timeout waiting until %s (error %v):\n%s", what, err, p.text())
		}
	}
}

// says waits until the page contains a text.
func (p *tab) says(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("the page has %q", text), fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// text returns the page's address and text, for failure messages.
func (p *tab) text() string {
	ctx, cancel := context.WithTimeout(p.context, 10*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx,
		chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

// look sets the window's width, and the light or dark scheme.
func (p *tab) look(width int64, scheme string) {
	p.t.Helper()
	p.do("resizing", chromedp.EmulateViewport(width, 800),
		chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			return err
		}))
}

// The main task by hand: an operator finds Ann and ends her session, and both of her clients are notified.
func TestOperatorEndsASessionInABrowser(t *testing.T) {
	t.Parallel()
	c := startChrome(t)
	p := startDemo(t)
	if len(p.demo) != 2 {
		t.Fatalf("demo clients at %v, want two", p.demo)
	}
	photos, notes := c.signInAtDemo(p)
	admin := c.tab()
	admin.look(1280, "light")
	admin.open(p.issuer + "/admin")
	admin.fill("#token", p.adminToken)
	admin.click("button.primary")
	admin.says("1 session")
	c.handOutCookies(p.issuer + "/admin/")
	admin.fill("#display_name", "ann")
	admin.click("form.filter button[type=submit]")
	admin.says("1 session matches")
	// The script: ticking all offers to end them.
	admin.click("[data-select-all] input")
	admin.says("End 1 selected…")

	for _, width := range []int64{1280, 360} {
		for _, scheme := range []string{"light", "dark"} {
			admin.look(width, scheme)
			admin.mustFit(width, scheme)
		}
	}
	admin.click("tbody th a.name")
	admin.says("Idle timeout")
	admin.mustFit(360, "dark")
	admin.look(1280, "light")
	admin.click(`a.danger[href^="remove?session_id="]`)
	admin.says("End this session?")
	for _, want := range []string{"1\nsession ended", "2\nnotifications queued"} {
		admin.says(want)
	}
	photos.says("Hello, Ann") // the preview has ended nothing
	// The script: a preview of other options ends nothing.
	for _, want := range []string{"0\nsessions ended", "1\nsession ended"} {
		admin.click("[name=remove_server_side_session]")
		admin.says("The options have changed")
		admin.until("the button is off", `document.querySelector("button[value=remove]").disabled`)
		admin.click("button[value=preview]")
		admin.says(want)
	}
	admin.fill("#reason", "a lost laptop")
	admin.look(360, "light")
	admin.mustFit(360, "light")
	admin.click("button[value=remove]")
	admin.says("Result")

	photos.says("Signed out by the server")
	notes.says("Signed out by the server")
	admin.click(`a[href^="deliveries?session_id="]`)
	admin.says("demo-photos")
	admin.says("demo-notes")
	admin.mustFit(360, "light")
	admin.click(".who button")
	admin.says("Operator sign-in")
	admin.open(p.issuer + "/admin/ui/deliveries")
	admin.says("Operator sign-in")
	c.mustNotComplain()
	if !p.log.Contains(`reason="a lost laptop"`) || !p.log.Contains("sessions_removed=1") ||
		p.log.Contains(p.adminToken) {
		t.Error("the log lacks what the operator did, or has his token")
	}
}

// mustFit checks that the page is no wider than its window, and its layout.
func (p *tab) mustFit(width int64, scheme string) {
	p.t.Helper()
	where := fmt.Sprintf("at %d px, %s", width, scheme)
	p.until("it fits "+where,
		fmt.Sprintf("window.innerWidth === %d && document.documentElement.scrollWidth <= %d", width, width))
	dark := "(([r, g, b]) => r + g + b < " +
		"384)(getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number))"
	if scheme == "light" {
		dark = "!" + dark
	}
	p.until("its colours match the scheme "+where, dark)
	for what, offenders := range map[string]string{
		"no element is outside of the window": `[...document.querySelectorAll(
			"main *:not(.vh, .vh *, thead, thead *)")].filter(e =>
			e.getBoundingClientRect().right > innerWidth + 1)`,
		"tables are cards when it is narrow": `[...document.querySelectorAll(
			"tbody td[data-label]")].filter(e =>
			(getComputedStyle(e).display === "block") !== (innerWidth < 600))`,
		"every field has a label": `[...document.querySelectorAll(` +
			`"input:not([type=hidden]), select")].filter(e => !e.labels.length && !e.ariaLabel)`,
		"focus is visible": `[...document.querySelectorAll(
			"main a, main button, main input")].filter(e => {
			e.focus({focusVisible: true});
			return document.activeElement === e && getComputedStyle(e).outlineStyle === "none";
		})`,
		"it has one heading and one main": `["h1", "main"].flatMap(name => ` +
			`[...document.querySelectorAll(name)].slice(1))`,
	} {
		expression := offenders +
			`.map(e => e.outerHTML.slice(0, 200) + " " + ` +
			`JSON.stringify(e.getBoundingClientRect())).join("\n")`
		found := ""
		// it may not be laid out again yet
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			var err error
			if found, err = p.evaluate(expression); err != nil {
				p.t.Fatalf("%s %s: %v", what, where, err)
			}
			if found == "" || time.Now().After(deadline) {
				break
			}
		}
		if found != "" {
			p.t.Errorf("%s: not so %s:\n%.2000s", what, where, found)
		}
	}
}

func (p *tab) evaluate(expression string) (string, error) {
	ctx, cancel := context.WithTimeout(p.context, chromePatience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[string](expression))
}
