package admin

// Throttling of wrong secrets by address.

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/internal/auditlog"
)

const (
	// refusalWindow is the period of the limits.
	refusalWindow = time.Minute
	// maxGuesses is how many wrong secrets per address the authorizer checks. Further requests are answered
	// 429, with a right secret too, unless the authorizer admitted that address within knownFor.
	maxGuesses = 20
	knownFor   = time.Hour
	// maxRefusals and maxTotalRefusals are how many refusals, per address and in total, are answered 401 and
	// logged individually. Further ones are answered 429 and counted. They still reach the authorizer.
	maxRefusals      = 20
	maxTotalRefusals = 300
	// maxAddresses bounds the remembered addresses: those refused in the window, and those admitted.
	maxAddresses = 10_000
	// evictionTries is how many entries are compared to choose the one to evict.
	evictionTries = 8
)

// refusals limits what unauthenticated senders can do: guess secrets and fill the log. Addresses are reduced
// by addressPrefix.
type refusals struct {
	mu       sync.Mutex
	started  time.Time
	of       map[string]refused // in the current window
	all      int
	unlogged int
	known    map[string]time.Time // when an address was last admitted
}

// refused counts the refusals of one address in the window.
type refused struct{ guesses, answers int }

// roll starts a new window if the current one is over.
func (f *refusals) roll(now time.Time) {
	if f.of == nil || now.Sub(f.started) >= refusalWindow || now.Before(f.started) {
		f.started, f.of, f.all = now, map[string]refused{}, 0
	}
}

// guess counts a guess before the authorizer checks it, so that concurrent guesses cannot exceed the limit.
// If the limit is reached, it returns how long the sender must wait instead.
func (f *refusals) guess(address string, now time.Time) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roll(now)
	if f.of[address].guesses >= maxGuesses && now.Sub(f.known[address]) >= knownFor {
		return f.started.Add(refusalWindow).Sub(now)
	}
	f.add(address, refused{guesses: 1})
	return 0
}

// uncountGuess uncounts a guess whose secret was right.
func (f *refusals) uncountGuess(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of[address].guesses > 0 { // still the same window
		f.add(address, refused{guesses: -1})
	}
}

// recordAdmitted records that the authorizer admitted a sender at that address.
func (f *refusals) recordAdmitted(address string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = map[string]time.Time{}
	}
	evictOne(f.known, address, time.Time.Before)
	f.known[address] = now
}

func (f *refusals) add(address string, more refused) {
	evictOne(f.of, address, func(a, b refused) bool { return a.guesses+a.answers < b.guesses+b.answers })
	of := f.of[address]
	f.of[address] = refused{of.guesses + more.guesses, of.answers + more.answers}
}

// count counts a refusal. wait is how long the sender must wait before more, or zero below the limits.
func (f *refusals) count(address string, now time.Time) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roll(now)
	if f.of[address].answers >= maxRefusals || f.all >= maxTotalRefusals {
		f.unlogged++
		return f.started.Add(refusalWindow).Sub(now)
	}
	f.add(address, refused{answers: 1})
	f.all++
	return 0
}

// countUnlogged counts a refusal that is not logged.
func (f *refusals) countUnlogged() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unlogged++
}

// evictOne evicts from a full map the least of a few random entries, unless key is already in it.
func evictOne[V any](entries map[string]V, key string, less func(a, b V) bool) {
	if _, there := entries[key]; there || len(entries) < maxAddresses {
		return
	}
	var least string
	tries := 0
	for key, value := range entries {
		if tries == 0 || less(value, entries[least]) {
			least = key
		}
		if tries++; tries == evictionTries {
			break
		}
	}
	delete(entries, least)
}

// takeUnlogged returns, once, how many refusals of a finished window were not logged.
func (f *refusals) takeUnlogged(now time.Time) (missed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.started) >= refusalWindow {
		missed, f.unlogged = f.unlogged, 0
	}
	return missed
}

// addressPrefix returns the address, or the /64 of an IPv6 address, since one sender usually controls all of
// it.
func addressPrefix(address string) string {
	if withPort, err := netip.ParseAddrPort(address); err == nil {
		address = withPort.Addr().String()
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return printable(address)
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return printable(address)
	}
	return prefix.String()
}

// tooManyGuesses is the error of a request that was not passed to the authorizer.
type tooManyGuesses struct{ wait time.Duration }

func (*tooManyGuesses) Error() string { return "too many requests with a wrong secret" }

// hasSecret reports whether the request has a secret that may be a guess. Cookies do not count: hosts make
// them unguessable, and browsers send them automatically.
func hasSecret(r *http.Request) bool { return len(r.Header.Values("Authorization")) > 0 }

// authenticate calls the authorizer unless the sender has guessed too often.
func (m *mount) authenticate(r *http.Request, permission Permission) (Actor, error) {
	from, secret := addressPrefix(m.sessions.RemoteAddr(r)), hasSecret(r)
	if secret {
		if wait := m.refusals.guess(from, m.sessions.Now()); wait > 0 {
			return Actor{}, &tooManyGuesses{wait}
		}
	}
	actor, err := m.ask(r, permission)
	// A user who is known by a cookie and gets ErrForbidden may be guessing at an operator's header.
	if secret && !errors.Is(err, ErrUnauthenticated) && !errors.Is(err, ErrForbidden) {
		m.refusals.uncountGuess(from)
	}
	if err == nil {
		m.refusals.recordAdmitted(from, m.sessions.Now())
	}
	return actor, err
}

// errNoActor reports an authorizer that returned an empty Actor, with which the audit would name no one.
var errNoActor = errors.New("the Authorizer admitted a request with an Actor without ID and Name: it " +
	"must identify the sender or return ErrUnauthenticated")

// ask calls the authorizer and refuses an empty Actor: the authorizer may have found no account and dropped
// the error.
func (m *mount) ask(r *http.Request, permission Permission) (Actor, error) {
	actor, err := m.authorize(r, permission)
	if err == nil && actor.ID == "" && actor.Name == "" {
		return Actor{}, errNoActor
	}
	return actor, err
}

// refused turns the error of an unauthenticated sender into a 429 if there were too many, and reports whether
// to log the refusal.
func (m *mount) refused(w http.ResponseWriter, r *http.Request, err error) (answer error, log bool) {
	var guesses *tooManyGuesses
	if !errors.Is(err, ErrUnauthenticated) && !errors.As(err, &guesses) {
		return err, true
	}
	var wait time.Duration
	if guesses != nil {
		wait = guesses.wait
		m.refusals.countUnlogged()
	} else if wait = m.refusals.count(addressPrefix(m.sessions.RemoteAddr(r)), m.sessions.Now()); wait <= 0 {
		return err, true
	}
	if _, signIn := errors.AsType[*SignInError](err); signIn {
		return err, false // a browser on its way to sign in presented no secret
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return &problem{
		status: http.StatusTooManyRequests,
		detail: "Too many requests from this address were not authenticated. Wait, then try again.",
	}, false
}

// logMissed logs how many refusals were not logged individually.
func (m *mount) logMissed(ctx context.Context) {
	if missed := m.refusals.takeUnlogged(m.sessions.Now()); missed > 0 {
		m.stream.Write(ctx, slog.LevelWarn, []slog.Attr{
			slog.String("action", "refused"), slog.String("result", auditlog.Refused),
			slog.Int("more_refused", missed),
		})
	}
}
