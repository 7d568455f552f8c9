package integration

import (
	"path/filepath"
	"testing"
)

// An operator swaps the backend in a browser, while a user stays signed in at both clients.
func TestOperatorSwapsTheBackendInABrowser(t *testing.T) {
	t.Parallel()
	c := startChrome(t)
	p := startDemo(t, "-store", "next="+filepath.Join(t.TempDir(), "next"))
	photos, _ := c.signInAtDemo(p)
	admin := c.tab()
	admin.look(1280, "light")
	admin.open(p.issuer + "/admin/ui/backend")
	admin.fill("#token", p.adminToken)
	admin.click("button.primary")
	admin.says("Swap the backend")
	c.handOutCookies(p.issuer + "/admin/")
	admin.says("Swap the backend")
	for _, width := range []int64{1280, 360} {
		admin.look(width, "dark")
		admin.mustFit(width, "dark")
	}
	admin.look(1280, "light")
	admin.choose(`form[action=swap] select`, "next")
	admin.click("form[action=swap] button")
	admin.says("The new backend serves")
	admin.says("Done")
	admin.look(360, "light")
	admin.mustFit(360, "light")
	admin.open(p.issuer + "/admin/ui/backend")
	admin.says("next (serves now)")
	photos.says("Hello, Ann")
	admin.open(p.issuer + "/admin/")
	admin.says("1 session")
	c.mustNotComplain()
}
