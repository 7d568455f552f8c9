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
	// refusalWindow is what the bounds are for.
	refusalWindow = time.Minute
	// guessesOfOne is how many requests of one address with a wrong secret the authorizer checks. Those
	// beyond are answered 429, right or wrong, unless the authorizer let that address through within
	// knownFor.
	guessesOfOne = 20
	knownFor     = time.Hour
	// refusalsOfOne and refusalsOfAll are how many refusals, of one address and altogether, are answered 401
	// and logged one by one. Those beyond are answered 429, and counted. Neither keeps a request from the
	// authorizer.
	refusalsOfOne = 20
	refusalsOfAll = 300
	// maxAddresses bounds how many addresses are remembered that were refused within the window, and that
	// were let through.
	maxAddresses = 10_000
	// evictionTries is how many entries are compared to choose the one to evict.
	evictionTries = 8
)

// refusals bounds what senders can do who are not known: guess, and fill the log. Addresses are those of
// neighbourhood.
type refusals struct {
	mu       sync.Mutex
	begun    time.Time
	of       map[string]refused // within the window
	all      int
	unlogged int
	known    map[string]time.Time // when an address was let through last
}

// refused is what one address was refused within the window.
type refused struct{ guesses, answers int }

// roll begins a new window where the last one is over.
func (f *refusals) roll(now time.Time) {
	if f.of == nil || now.Sub(f.begun) >= refusalWindow || now.Before(f.begun) {
		f.begun, f.of, f.all = now, map[string]refused{}, 0
	}
}

// guess counts a guess before the authorizer checks it, which leaves nothing to guesses that are made all
// at once, or returns how long the sender has to wait instead.
func (f *refusals) guess(address string, now time.Time) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roll(now)
	if f.of[address].guesses >= guessesOfOne && now.Sub(f.known[address]) >= knownFor {
		return f.begun.Add(refusalWindow).Sub(now)
	}
	f.add(address, refused{guesses: 1})
	return 0
}

// noGuess takes a guess back that was none.
func (f *refusals) noGuess(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of[address].guesses > 0 { // of this window
		f.add(address, refused{guesses: -1})
	}
}

// letThrough notes that the authorizer knows a sender at that address.
func (f *refusals) letThrough(address string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = map[string]time.Time{}
	}
	makeRoom(f.known, address, time.Time.Before)
	f.known[address] = now
}

func (f *refusals) add(address string, more refused) {
	makeRoom(f.of, address, func(a, b refused) bool { return a.guesses+a.answers < b.guesses+b.answers })
	of := f.of[address]
	f.of[address] = refused{of.guesses + more.guesses, of.answers + more.answers}
}

// count counts a refusal. wait is how long the sender has to wait with more, zero while it is below the
// bounds.
func (f *refusals) count(address string, now time.Time) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roll(now)
	if f.of[address].answers >= refusalsOfOne || f.all >= refusalsOfAll {
		f.unlogged++
		return f.begun.Add(refusalWindow).Sub(now)
	}
	f.add(address, refused{answers: 1})
	f.all++
	return 0
}

// leaveOut counts a refusal that is not logged.
func (f *refusals) leaveOut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unlogged++
}

// makeRoom forgets, of some entries of a full map in no order, the least, unless the key is there already.
func makeRoom[V any](entries map[string]V, key string, less func(a, b V) bool) {
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

// missed returns how many refusals of a window that is over were not logged, once.
func (f *refusals) missed(now time.Time) (missed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.begun) >= refusalWindow {
		missed, f.unlogged = f.unlogged, 0
	}
	return missed
}

// neighbourhood is what addresses of one sender have in common: who has one IPv6 address has a /64 of them.
func neighbourhood(address string) string {
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

// tooManyGuesses is the error of a request that the authorizer was not asked about.
type tooManyGuesses struct{ wait time.Duration }

func (*tooManyGuesses) Error() string { return "too many requests with a wrong secret" }

// showsSecret reports whether the authorizer may be guessed at with a request. Cookies are left out: a host
// makes them so that they cannot be guessed, and browsers send them unasked.
func showsSecret(r *http.Request) bool { return len(r.Header.Values("Authorization")) > 0 }

// authenticate asks the authorizer, unless the sender has guessed too often.
func (m *mount) authenticate(r *http.Request, permission Permission) (Actor, error) {
	from, secret := neighbourhood(m.sessions.RemoteAddr(r)), showsSecret(r)
	if secret {
		if wait := m.refusals.guess(from, m.sessions.Now()); wait > 0 {
			return Actor{}, &tooManyGuesses{wait}
		}
	}
	actor, err := m.ask(r, permission)
	if secret && !errors.Is(err, ErrUnauthenticated) {
		m.refusals.noGuess(from)
	}
	if err == nil || errors.Is(err, ErrForbidden) {
		m.refusals.letThrough(from, m.sessions.Now())
	}
	return actor, err
}

// errNoActor is about an authorizer whose answer gives the audit nobody to name.
var errNoActor = errors.New("the Authorizer let a request through with an Actor without ID and Name: it " +
	"has to say who sent the request, or to return ErrUnauthenticated")

// ask asks the authorizer. A request is not let through for nobody: an authorizer may have found no account
// and lost that error.
func (m *mount) ask(r *http.Request, permission Permission) (Actor, error) {
	actor, err := m.authorize(r, permission)
	if err == nil && actor.ID == "" && actor.Name == "" {
		return Actor{}, errNoActor
	}
	return actor, err
}

// refused makes the error of a sender who is not known a 429 where there were too many, and reports whether
// the refusal is to be logged.
func (m *mount) refused(w http.ResponseWriter, r *http.Request, err error) (answer error, log bool) {
	var guesses *tooManyGuesses
	if !errors.Is(err, ErrUnauthenticated) && !errors.As(err, &guesses) {
		return err, true
	}
	var wait time.Duration
	if guesses != nil {
		wait = guesses.wait
		m.refusals.leaveOut()
	} else if wait = m.refusals.count(neighbourhood(m.sessions.RemoteAddr(r)), m.sessions.Now()); wait <= 0 {
		return err, true
	}
	var signIn *SignInError
	if errors.As(err, &signIn) {
		return err, false // a browser on its way to sign in has shown nothing to guess with
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return &problem{
		status: http.StatusTooManyRequests,
		detail: "Too many requests from this address were not authenticated. Wait, then try again.",
	}, false
}

// logMissed says how many refusals were not logged one by one.
func (m *mount) logMissed(ctx context.Context) {
	if missed := m.refusals.missed(m.sessions.Now()); missed > 0 {
		m.stream.Write(ctx, slog.LevelWarn, []slog.Attr{
			slog.String("action", "refused"), slog.String("result", auditlog.Refused),
			slog.Int("more_refused", missed),
		})
	}
}
