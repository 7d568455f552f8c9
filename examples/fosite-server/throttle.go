package main

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
)

// How often a password may be tried: so many times at once, and then once in an interval. A success takes its try back.
var (
	// accountAndAddress is strict: a user who mistypes a password is alone there, also behind a proxy with many others.
	accountAndAddress = rate{burst: 5, every: 30 * time.Second}
	// wholeAccount bounds guesses from many addresses, and wholeAddress guesses at many accounts. Beyond them an account from an address has its
	// first tries and no more, so that neither an attacker behind a user's proxy nor one at the user's account keeps the user out.
	wholeAccount = rate{burst: 20, every: 5 * time.Second}
	wholeAddress = rate{burst: 100, every: time.Second}
	firstTries   = rate{burst: 2, every: time.Hour}
	// strangers bounds the first tries at an account beyond wholeAccount, from however many addresses they come.
	strangers = rate{burst: 1000, every: time.Hour / 1000}
	// knownBrowser takes the place of the others in a browser in which that user has signed in before: what others do does not count there.
	knownBrowser = rate{burst: 10, every: 10 * time.Second}
)

const (
	// deviceLifetime is how long a browser is known after a sign-in, and maxDeviceUsers how many users of it are.
	deviceLifetime = 90 * 24 * time.Hour
	maxDeviceUsers = 4
	deviceIDSize   = 16
	deviceSumSize  = 16
)

// signInThrottle bounds how often passwords are guessed, by account, by address, and by both.
type signInThrottle struct {
	limiter limiter
	// firsts has the first tries. They are remembered for hours, and must not have what is in the other forgotten.
	firsts limiter
	key    []byte
	cookie string
	secure bool
}

func newSignInThrottle(globalSecret []byte, issuer string) (*signInThrottle, error) {
	key, err := hkdf.Key(sha256.New, globalSecret, nil, "fosite-server known browsers", sha256.Size)
	if err != nil {
		return nil, err
	}
	t := &signInThrottle{key: key, cookie: "fosite_server_known", secure: strings.HasPrefix(issuer, "https:")}
	if t.secure {
		t.cookie = "__Host-" + t.cookie
	}
	return t, nil
}

// try counts an attempt to sign in as failed, and returns how long it has to wait instead: then the password is not to be looked at. succeed takes
// it back. Counting first leaves nothing to attempts that are made all at once. Accounts that do not exist are counted as those that do: otherwise
// the answers would tell which is which.
func (t *signInThrottle) try(r *http.Request, account, address string, now time.Time) (succeed func(), wait time.Duration) {
	address = neighbourhood(address)
	var taken taken
	if id := t.known(r, account); id != nil {
		wait = taken.take(&t.limiter, limit{knownBrowser, "browser", account, string(id)}, now)
	} else {
		wait = t.tryUnknown(&taken, account, address, now)
	}
	if wait > 0 {
		taken.giveBack()
		return nil, wait
	}
	return taken.giveBack, 0
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
type taken []func()

func (a *taken) take(from *limiter, l limit, now time.Time) (wait time.Duration) {
	if wait = from.take(l.rate, l.key(), now); wait == 0 {
		*a = append(*a, func() { from.giveBack(l.rate, l.key()) })
	}
	return wait
}

func (a *taken) giveBack() {
	for _, back := range *a {
		back()
	}
}

// limit is one of those that an attempt counts for.
type limit struct {
	rate
	kind, account, from string
}

// key is short whatever is typed as a user name.
func (l limit) key() limitKey { return limitKey(hashOf(l.kind, l.account, l.from)) }

// known returns the id of the browser if the user has signed in there before.
func (t *signInThrottle) known(r *http.Request, account string) []byte {
	for _, device := range t.devices(r) {
		if id, sum := device[:deviceIDSize], device[deviceIDSize:]; hmac.Equal(sum, t.sign(id, account)) {
			return id
		}
	}
	return nil
}

// remember has the browser known as one in which the user has signed in, beside the last others.
func (t *signInThrottle) remember(w http.ResponseWriter, r *http.Request, account string) {
	id := t.known(r, account)
	if id == nil {
		id = hashOf(randomText())[:deviceIDSize]
	}
	devices := [][]byte{slices.Concat(id, t.sign(id, account))}
	for _, device := range t.devices(r) {
		other := !hmac.Equal(device[deviceIDSize:], t.sign(device[:deviceIDSize], account))
		if other && len(devices) < maxDeviceUsers {
			devices = append(devices, device)
		}
	}
	texts := make([]string, len(devices))
	for i, device := range devices {
		texts[i] = base64.RawURLEncoding.EncodeToString(device)
	}
	//nolint:gosec // Secure follows the issuer's scheme: behind a proxy r.TLS says nothing.
	http.SetCookie(w, &http.Cookie{
		Name: t.cookie, Value: strings.Join(texts, "."), Path: "/", MaxAge: int(deviceLifetime / time.Second),
		HttpOnly: true, Secure: t.secure, SameSite: http.SameSiteLaxMode,
	})
}

// devices are what the browser's cookies say, of any server and for any user.
func (t *signInThrottle) devices(r *http.Request) (devices [][]byte) {
	for _, cookie := range r.CookiesNamed(t.cookie) {
		for text := range strings.SplitSeq(cookie.Value, ".") {
			device, err := base64.RawURLEncoding.DecodeString(text)
			if err == nil && len(device) == deviceIDSize+deviceSumSize && len(devices) < 2*maxDeviceUsers {
				devices = append(devices, device)
			}
		}
	}
	return devices
}

func (t *signInThrottle) sign(id []byte, account string) []byte {
	mac := hmac.New(sha256.New, t.key)
	mac.Write(id)
	mac.Write([]byte(account))
	return mac.Sum(nil)[:deviceSumSize]
}
