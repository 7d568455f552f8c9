package hostadapter

// Marks: sealed values in URLs, bound to one browser.

import (
	"net/http"
	"slices"
	"time"
)

const (
	// browserCookie is the suffix, added to the name of the session cookie, of the cookie that identifies a
	// browser before a user has signed in. It is not a credential.
	browserCookie = "_browser"
	// markPurpose is the purpose for which marks are sealed; their id is the browser's key and the subject
	// matter.
	markPurpose = "mark"
)

// mark is tie.Adapter.Mark.
func (a *Adapter) mark(
	w http.ResponseWriter, r *http.Request, about, data []byte, lifetime time.Duration,
) string {
	name, browser := a.config.Cookie.Name+browserCookie, newSecret()
	if secrets, _ := readSecrets(r, name); len(secrets) > 0 {
		browser = secrets[0]
	}
	cookie := a.cookie(browser.value()) //nolint:gosec // a.cookie sets its attributes
	cookie.Name, cookie.MaxAge = name, int(lifetime/time.Second)
	if cookie.SameSite == http.SameSiteStrictMode {
		// Other sites, such as clients and identity providers, redirect the browser to us.
		cookie.SameSite = http.SameSiteLaxMode
	}
	setCookie(w, cookie)
	return a.ring.sealText(markPurpose, markID(browser, about), data)
}

// readMark is tie.Adapter.ReadMark.
func (a *Adapter) readMark(r *http.Request, about []byte, mark string) (data []byte, ok bool) {
	browsers, _ := readSecrets(r, a.config.Cookie.Name+browserCookie)
	for _, browser := range browsers {
		// Clients can send any value here: one that cannot be opened is not logged.
		if data, err := a.ring.unsealText(markPurpose, markID(browser, about), mark); err == nil {
			return data, true
		}
	}
	return nil, false
}

func markID(browser secret, about []byte) []byte {
	key := browser.key()
	return slices.Concat(key[:], about)
}
