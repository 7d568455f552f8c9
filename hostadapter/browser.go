package hostadapter

// Marks: sealed values in URLs that belong to one browser.

import (
	"net/http"
	"slices"
	"time"
)

const (
	// browserCookie is added to the name of the session cookie for that by which a browser is known again
	// before a user has signed in there. It is no credential.
	browserCookie = "_browser"
	// markPurpose is what marks are sealed for, with the browser's key and what they are about as id.
	markPurpose = "mark"
)

// Mark implements tie.Marks.
func (t tieAdapter) Mark(
	w http.ResponseWriter, r *http.Request, about, data []byte, lifetime time.Duration,
) string {
	name, browser := t.a.config.Cookie.Name+browserCookie, newSecret()
	if secrets, _ := readSecrets(r, name); len(secrets) > 0 {
		browser = secrets[0]
	}
	cookie := t.a.cookie(browser.value()) //nolint:gosec // a.cookie sets its attributes
	cookie.Name, cookie.MaxAge = name, int(lifetime/time.Second)
	if cookie.SameSite == http.SameSiteStrictMode {
		// another site, a client's or an identity provider's, sends the browser here
		cookie.SameSite = http.SameSiteLaxMode
	}
	setCookie(w, cookie)
	return t.a.ring.sealText(markPurpose, markID(browser, about), data)
}

// ReadMark implements tie.Marks.
func (t tieAdapter) ReadMark(r *http.Request, about []byte, mark string) (data []byte, ok bool) {
	browsers, _ := readSecrets(r, t.a.config.Cookie.Name+browserCookie)
	for _, browser := range browsers {
		// Any sender may put anything here: that it does not open is no event for the log.
		if data, err := t.a.ring.unsealText(markPurpose, markID(browser, about), mark); err == nil {
			return data, true
		}
	}
	return nil, false
}

func markID(browser secret, about []byte) []byte {
	key := browser.key()
	return slices.Concat(key[:], about)
}
