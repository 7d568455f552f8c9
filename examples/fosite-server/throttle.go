package main

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// How often a password may be tried: so many times at once, and then once in an interval. A success takes its try back.
var (
	// accountAndAddress is strict: whoever mistypes a password is alone there, also behind a proxy with many others.
	accountAndAddress = rate{burst: 5, every: 30 * time.Second}
	// wholeAccount bounds guesses from many addresses. It delays, so that nobody can lock a user out.
	wholeAccount = rate{burst: 20, every: 5 * time.Second}
	// wholeAddress bounds guesses at many accounts. It is high: a whole company may come from one address.
	wholeAddress = rate{burst: 100, every: time.Second}
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
	key     []byte
	cookie  string
	secure  bool
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
// it back. Counting first leaves nothing to attempts that are made all at once.
func (t *signInThrottle) try(r *http.Request, account, address string, now time.Time) (succeed func(), wait time.Duration) {
	address = neighbourhood(address)
	limits := []limit{{accountAndAddress, "pair", account, address}, {wholeAccount, "account", account, ""}, {wholeAddress, "address", "", address}}
	if id := t.known(r, account); id != nil {
		limits = []limit{{knownBrowser, "browser", account, string(id)}}
	}
	for i, l := range limits {
		if wait = t.limiter.take(l.rate, l.key(), now); wait > 0 {
			t.giveBack(limits[:i])
			return nil, wait
		}
	}
	return func() { t.giveBack(limits) }, 0
}

func (t *signInThrottle) giveBack(limits []limit) {
	for _, l := range limits {
		t.limiter.giveBack(l.rate, l.key())
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

// rate is so many at once, and then one in an interval.
type rate struct {
	burst int
	every time.Duration
}

const (
	// maxLimited bounds what a limiter remembers.
	maxLimited = 50_000
	// evictionTries is how many entries are looked at for the one to forget.
	evictionTries = 8
)

type limitKey [sha256.Size]byte

// limiter counts by the generic cell rate algorithm: each key has one moment, at which all that was taken is given back.
type limiter struct {
	mu   sync.Mutex
	full map[limitKey]time.Time
}

// take takes one, or returns how long to wait for it.
func (l *limiter) take(r rate, key limitKey, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := l.full[key]
	if full.Before(now) {
		full = now
	}
	if wait = full.Sub(now) - time.Duration(r.burst-1)*r.every; wait > 0 {
		return wait
	}
	if l.full == nil {
		l.full = map[limitKey]time.Time{}
	}
	if _, there := l.full[key]; !there && len(l.full) >= maxLimited {
		l.evict()
	}
	l.full[key] = full.Add(r.every)
	return 0
}

// evict forgets, of some entries in no order, the one that is due first: one that was hit often outlives those that an attacker makes up.
func (l *limiter) evict() {
	var first limitKey
	tries := 0
	for key, full := range l.full {
		if tries == 0 || full.Before(l.full[first]) {
			first = key
		}
		if tries++; tries == evictionTries {
			break
		}
	}
	delete(l.full, first)
}

func (l *limiter) giveBack(r rate, key limitKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if full, there := l.full[key]; there {
		l.full[key] = full.Add(-r.every)
	}
}
