package integration

// Sign-outs in a real browser.

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// signInAtDemo signs Ann in at each demo client, in its own tab.
func (c *chrome) signInAtDemo(p *provider) (photos, notes *tab) {
	c.t.Helper()
	photos, notes = c.tab(), c.tab()
	photos.open(p.demo[0])
	photos.click("a.primary")
	photos.fillInSignIn()
	photos.click("button[value=allow]")
	photos.says("Hello, Ann")
	notes.open(p.demo[1])
	notes.click("a.primary")
	notes.says("Hello, Ann") // without a form
	return photos, notes
}

func (p *tab) fillInSignIn() {
	p.t.Helper()
	p.fill("#username", "ann")
	p.fill("#password", "ann-demo")
	p.click("button.primary")
}

// mustFitAll checks the page's layout, wide and narrow, in light and dark.
func (p *tab) mustFitAll() {
	p.t.Helper()
	for _, width := range []int64{1280, 360} {
		for _, scheme := range []string{"light", "dark"} {
			p.look(width, scheme)
			p.mustFit(width, scheme)
		}
	}
	p.look(1280, "light")
}

// A user signs out at one client. The server's page loads the front-channel logout address of the second
// client in a frame, with iss and sid, and sends the user back to the first client, with and without scripts.
func TestSignOutAtAClientInABrowser(t *testing.T) {
	t.Parallel()
	for _, scripts := range []bool{true, false} {
		name := "with scripts"
		if !scripts {
			name = "without scripts"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startChrome(t)
			p := startDemo(t)
			photos, notes := c.signInAtDemo(p)
			c.handOutCookies(p.issuer)
			if !scripts {
				photos.do("disabling scripts",
					chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
						_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled,
							emulation.SetScriptExecutionDisabledParams{Value: true})
						return err
					}))
			}
			photos.click(`form[action="/logout"] button`)
			photos.says("knows nobody yet") // back at the client, signed out
			photos.until("the browser is back at the client", "location.origin === '"+p.demo[0]+"'")
			notes.says("Signed out by the server")
			// The client checks the frame's parameters: the issuer, and a sid that it knows.
			notes.says("front channel")
			notes.says("back channel")
			notes.mustFitAll()
			server := c.tab()
			server.open(p.issuer)
			server.says("You are not signed in")
			c.mustNotComplain()
		})
	}
}

// Signing out at the server requires a confirmation. The clients are notified, one of them in a frame.
func TestSignOutAtTheServerInABrowser(t *testing.T) {
	t.Parallel()
	c := startChrome(t)
	p := startDemo(t)
	photos, notes := c.signInAtDemo(p)
	server := c.tab()
	server.open(p.issuer)
	server.says("Hello, Ann")
	server.mustFitAll()
	server.click(`a[href="/logout"]`)
	server.says("Sign out?")
	server.mustFitAll()
	server.click(`a[href="/"]`) // stay signed in
	server.says("Hello, Ann")
	server.click(`a[href="/logout"]`)
	server.says("You are signed in as Ann Example")
	server.click("form button.primary")
	server.says("You are signed out")
	server.mustFitAll()
	photos.says("back channel")
	notes.says("front channel")
	server.open(p.issuer + "/logout?post_logout_redirect_uri=https://elsewhere.example/")
	server.says("You are signed out")
	server.open(p.issuer + "/logout?id_token_hint=forged")
	server.says("Not possible")
	server.mustFitAll()
	c.mustNotComplain()
}

// A user sees her signed-in devices, signs out one of them, and then all others.
func TestMySessionsInABrowser(t *testing.T) {
	t.Parallel()
	c, p := startChrome(t), startDemo(t)
	machine := func() *tab {
		m := c.tab(chromedp.WithNewBrowserContext())
		m.open(p.issuer + "/login")
		m.fillInSignIn()
		m.says("Hello, Ann")
		return m
	}
	mine, phone, tablet := machine(), machine(), machine()
	mine.click(`a[href="/account/sessions/"]`)
	mine.says("This one")
	mine.until("there are three devices", "document.querySelectorAll('.devices li').length === 3")
	mine.mustFitAll()
	mine.click(".devices li:nth-child(2) button") // the one used most recently, except for this one
	mine.until("there are two devices", "document.querySelectorAll('.devices li').length === 2")
	mine.says("This one")
	tablet.open(p.issuer)
	tablet.says("You are not signed in")
	phone.open(p.issuer)
	phone.says("Hello, Ann")
	mine.click(`form[action="end-others"] button`)
	mine.until("only this device is left", "document.querySelectorAll('.devices li').length === 1")
	mine.says("This one")
	phone.open(p.issuer)
	phone.says("You are not signed in")
	mine.open(p.issuer)
	mine.says("Hello, Ann")
	c.mustNotComplain()
}
