package main

// Throttling of passwords.

import (
	"net/http"
	"time"
)

// Limits of password attempts: a burst, and then one per interval. A success returns its attempt.
var (
	// accountAndAddress is strict: only the user's own typing errors count, even behind a proxy with many
	// users.
	accountAndAddress = rate{burst: 5, every: 30 * time.Second}
	// wholeAccount limits guesses from many addresses, and wholeAddress guesses at many accounts. Beyond them
	// each account still has its first attempts from an address, so that an attacker behind a user's proxy,
	// or at the user's account, does not lock the user out.
	wholeAccount = rate{burst: 20, every: 5 * time.Second}
	wholeAddress = rate{burst: 100, every: time.Second}
	firstTries   = rate{burst: 2, every: time.Hour}
	// strangers limits the first attempts at an account beyond wholeAccount, over all addresses.
	strangers = rate{burst: 1000, every: time.Hour / 1000}
	// knownBrowser replaces the other limits in a browser in which that user has signed in before: attempts
	// elsewhere do not count there.
	knownBrowser = rate{burst: 10, every: 10 * time.Second}
)

// signInThrottle limits password guesses by account, by address, and by both, across all servers that share
// the store.
type signInThrottle struct {
	knownBrowsers
	marks   *marks
	limiter limiter
	// firsts holds the first attempts. They are kept for hours, and separately so that they do not evict the
	// others.
	firsts limiter
}

func newSignInThrottle(globalSecret []byte, issuer string, m *marks) *signInThrottle {
	return &signInThrottle{knownBrowsers: newKnownBrowsers(globalSecret, issuer, "known", "/"), marks: m}
}

// try counts a sign-in attempt as failed, or returns how long it must wait; then the password must not be
// checked. succeed undoes the count. Counting before checking prevents concurrent attempts from exceeding the
// limit. Accounts that do not exist are counted too: otherwise the responses would reveal which accounts
// exist.
func (t *signInThrottle) try(
	r *http.Request, account, address string, now time.Time,
) (succeed func() error, wait time.Duration, err error) {
	address = addressPrefix(address)
	return t.marks.count(r.Context(), now, func(taken *taken) time.Duration {
		if id := t.known(r, account); id != "" {
			return taken.take(&t.limiter, limit{knownBrowser, "browser", account, id}, now)
		}
		return t.tryUnknown(taken, account, address, now)
	})
}

// tryUnknown is try in a browser in which the user has not signed in before.
func (t *signInThrottle) tryUnknown(taken *taken, account, address string, now time.Time) time.Duration {
	if wait := taken.take(&t.limiter, limit{accountAndAddress, "pair", account, address}, now); wait > 0 {
		return wait
	}
	ofAccount := taken.take(&t.limiter, limit{wholeAccount, "account", account, ""}, now)
	ofAddress := taken.take(&t.limiter, limit{wholeAddress, "address", "", address}, now)
	wait := max(ofAccount, ofAddress)
	if wait == 0 || taken.take(&t.firsts, limit{firstTries, "pair", account, address}, now) > 0 {
		return wait
	}
	if ofAccount == 0 {
		return 0
	}
	return taken.take(&t.limiter, limit{strangers, "strangers", account, ""}, now)
}

// taken are the limits that an attempt counts against.
type taken []take

// take is a limit that an attempt counts against, and its position there.
type take struct {
	limit
	from *limiter
	at   time.Time
}

// number is the number of the interval, since 1970.
func (t take) number() int64 { return t.at.UnixNano() / int64(t.every) }

func (a *taken) take(from *limiter, l limit, now time.Time) (wait time.Duration) {
	at, wait := from.take(l.rate, l.key(), now)
	if wait == 0 {
		*a = append(*a, take{l, from, at})
	}
	return wait
}

func (a *taken) giveBack() {
	for _, one := range *a {
		one.from.giveBack(one.rate, one.key())
	}
}

// limit is one of the limits of an attempt.
type limit struct {
	rate
	kind, account, from string
}

// key has a fixed size, however long the user name is.
func (l limit) key() limitKey { return limitKey(hashOf(l.kind, l.account, l.from)) }
