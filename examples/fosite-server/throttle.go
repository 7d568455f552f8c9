package main

// Throttling of passwords.

import (
	"net/http"
	"time"
)

// How often a password may be tried: so many times at once, and then once in an interval. A success takes its
// try back.
var (
	// accountAndAddress is strict: a user who mistypes a password is alone there, also behind a proxy with
	// many others.
	accountAndAddress = rate{burst: 5, every: 30 * time.Second}
	// wholeAccount bounds guesses from many addresses, and wholeAddress guesses at many accounts. Beyond them
	// an account from an address has its first tries and no more, so that neither an attacker behind a user's
	// proxy nor one at the user's account keeps the user out.
	wholeAccount = rate{burst: 20, every: 5 * time.Second}
	wholeAddress = rate{burst: 100, every: time.Second}
	firstTries   = rate{burst: 2, every: time.Hour}
	// strangers bounds the first tries at an account beyond wholeAccount, from however many addresses they
	// come.
	strangers = rate{burst: 1000, every: time.Hour / 1000}
	// knownBrowser takes the place of the others in a browser in which that user has signed in before: what
	// others do does not count there.
	knownBrowser = rate{burst: 10, every: 10 * time.Second}
)

// signInThrottle bounds how often passwords are guessed, by account, by address, and by both, at all servers
// that share the store.
type signInThrottle struct {
	knownBrowsers
	marks   *marks
	limiter limiter
	// firsts has the first tries. They are remembered for hours, and must not have what is in the other
	// forgotten.
	firsts limiter
}

func newSignInThrottle(globalSecret []byte, issuer string, m *marks) *signInThrottle {
	return &signInThrottle{knownBrowsers: newKnownBrowsers(globalSecret, issuer, "known", "/"), marks: m}
}

// try counts an attempt to sign in as failed, and returns how long it has to wait instead: then the password
// is not to be looked at. succeed takes it back. Counting first leaves nothing to attempts that are made all
// at once. Accounts that do not exist are counted as those that do: otherwise the answers would show which is
// which.
func (t *signInThrottle) try(
	r *http.Request, account, address string, now time.Time,
) (succeed func() error, wait time.Duration, err error) {
	address = neighbourhood(address)
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

// taken is what an attempt counts for.
type taken []take

// take is a limit that an attempt counts for, and where its turn was in it.
type take struct {
	limit
	from *limiter
	at   time.Time
}

// number is that of the interval, of those since 1970.
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

// limit is one of those that an attempt counts for.
type limit struct {
	rate
	kind, account, from string
}

// key is short whatever is typed as a user name.
func (l limit) key() limitKey { return limitKey(hashOf(l.kind, l.account, l.from)) }
