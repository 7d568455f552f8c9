package main

// Browsers in which users have signed in before.

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"net/http"
	"slices"
	"time"
)

const (
	// browserLifetime is how long a browser is remembered after a sign-in. maxBrowserUsers bounds the users
	// remembered for it.
	browserLifetime = 90 * 24 * time.Hour
	maxBrowserUsers = 4
)

// knownBrowsers recognizes, by a signed cookie, browsers in which users have signed in before: failed
// attempts elsewhere do not count against them.
type knownBrowsers struct {
	signer signer
	cookie cookie
}

// browserPass is the cookie's content: the browser's id, and keyed hashes of the accounts that signed in
// there.
type browserPass struct {
	ID    string   `json:"i"`
	Users [][]byte `json:"u"`
}

func newKnownBrowsers(globalSecret []byte, issuer, name, path string) knownBrowsers {
	return knownBrowsers{
		newSigner(globalSecret, name+" browsers"), newCookie(issuer, "fosite_server_"+name, path),
	}
}

// known returns the id of the browser if the user has signed in there before, else "".
func (k *knownBrowsers) known(r *http.Request, account string) (id string) {
	user := k.signer.sum(account)
	for _, pass := range k.passes(r) {
		if slices.ContainsFunc(pass.Users, func(other []byte) bool { return hmac.Equal(user, other) }) {
			return pass.ID
		}
	}
	return ""
}

// remember records in the cookie that the user has signed in, keeping the most recent other users.
func (k *knownBrowsers) remember(w http.ResponseWriter, r *http.Request, account string) {
	pass := browserPass{ID: k.known(r, account), Users: [][]byte{k.signer.sum(account)}}
	for _, before := range k.passes(r) {
		for _, user := range before.Users {
			if len(pass.Users) < maxBrowserUsers && !hmac.Equal(user, pass.Users[0]) {
				pass.Users = append(pass.Users, user)
			}
		}
		pass.ID = cmp.Or(pass.ID, before.ID)
	}
	pass.ID = cmp.Or(pass.ID, rand.Text())
	k.cookie.set(w, "", k.signer.token(pass), browserLifetime)
}

// passes returns the valid contents of the browser's cookies.
func (k *knownBrowsers) passes(r *http.Request) []browserPass {
	return signedCookies[browserPass](r, k.cookie.name, k.signer)
}
