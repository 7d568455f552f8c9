//go:build axe

package integration

// The operator's pages under axe-core, in a browser: `make test-axe`, which installs it.

import (
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"testing"
)

// axeSource is axe-core as npm installed it.
func axeSource(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/axe/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("%v: run make test-axe", err)
	}
	return string(raw)
}

// mustBeAccessible checks that axe-core finds no violation on the page.
func (p *tab) mustBeAccessible(axe, where string) {
	p.t.Helper()
	if _, err := p.evaluate(axe + "; ''"); err != nil {
		p.t.Fatal(err)
	}
	// During a transition between schemes colours are in between.
	p.until("animations have finished", "document.getAnimations().every(a => a.playState === 'finished')")
	_, err := p.evaluate(`delete window.found; axe.run().then(r => { window.found = JSON.stringify(
		r.violations.map(v => v.id + ": " + v.nodes.map(n => n.html).join(" "))); }); ""`)
	if err != nil {
		p.t.Fatal(err)
	}
	p.until("axe-core is done", "typeof window.found === 'string'")
	text, err := p.evaluate("window.found")
	if err != nil {
		p.t.Fatal(err)
	}
	var violations []string
	if err := json.Unmarshal([]byte(text), &violations); err != nil {
		p.t.Fatal(err)
	}
	if len(violations) > 0 {
		p.t.Errorf("%s: axe-core finds\n%s", where, strings.Join(violations, "\n"))
	}
}

// No page has a violation, in either colour scheme, wide and narrow. The check itself finds a known
// violation.
func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	axe := axeSource(t)
	c := startChrome(t)
	p := startDemo(t)
	c.signInAtDemo(p)
	sessions := p.sessions(t, url.Values{})
	if len(sessions) != 1 {
		t.Fatalf("%d sessions, want one", len(sessions))
	}
	sid, _ := sessions[0]["session_id"].(string)
	query := url.Values{"session_id": {sid}}.Encode()
	admin := c.tab()
	admin.look(1280, "light")
	admin.open(p.issuer + "/admin")
	admin.fill("#token", p.adminToken)
	admin.mustBeAccessible(axe, "the sign-in")
	admin.click("button.primary")
	admin.says("1 session")
	c.handOutCookies(p.issuer + "/admin/")
	for _, path := range []string{
		"", "?subject_id=nobody", "session?" + query, "session?revoked=1&" + query, "search?q=demo-photos",
		"remove?" + query, "remove?all=true", "removed?sessions_removed=1&grants_revoked=2&" +
			"consents_revoked=0&notifications_queued=2&" + query,
		"deliveries", "activity", "backend", "nowhere",
	} {
		admin.open(p.issuer + "/admin/ui/" + path)
		for _, width := range []int64{1280, 360} {
			for _, scheme := range []string{"light", "dark"} {
				admin.look(width, scheme)
				admin.mustFit(width, scheme)
				admin.mustBeAccessible(axe, path+" "+scheme)
			}
		}
	}
	if _, err := admin.evaluate(`document.body.append(document.createElement("img")); ""`); err != nil {
		t.Fatal(err)
	}
	_, err := admin.evaluate(`delete window.found;
		axe.run().then(r => { window.found = r.violations.map(v => v.id).join(); }); ""`)
	if err != nil {
		t.Fatal(err)
	}
	admin.until("axe-core finds an image without alternative text",
		`typeof window.found === "string" && window.found.includes("image-alt")`)
}
