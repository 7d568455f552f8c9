package admin

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
)

const (
	// refusalWindow is what the bounds are for.
	refusalWindow = time.Minute
	// refusalsOfOne and refusalsOfAll are how many requests of nobody known, of one address and altogether, are answered 401 and logged one by one.
	// Those beyond are answered 429, and counted. What the authorizer lets through is never among them.
	refusalsOfOne = 20
	refusalsOfAll = 300
	// maxAuditText bounds what a sender makes up in a log line in bytes.
	maxAuditText = 256
)

// refusals bounds what requests of nobody known can do: guess, and fill the log.
type refusals struct {
	mu    sync.Mutex
	begun time.Time
	// of counts by address, for as long as the window lasts. It has at most refusalsOfAll entries: then nothing more is counted one by one.
	of       map[string]int
	all      int
	unlogged int
}

// count counts a refusal. wait is how long the sender has to wait with more, zero while it is below the bounds.
func (f *refusals) count(address string, now time.Time) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil || now.Sub(f.begun) >= refusalWindow || now.Before(f.begun) {
		f.begun, f.of, f.all = now, map[string]int{}, 0
	}
	key := neighbourhood(address)
	if f.of[key] >= refusalsOfOne || f.all >= refusalsOfAll {
		f.unlogged++
		return f.begun.Add(refusalWindow).Sub(now)
	}
	f.of[key]++
	f.all++
	return 0
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

// refused makes the error of a request of nobody known a 429 where there were too many, and reports whether the refusal is to be logged.
func (m *mount) refused(w http.ResponseWriter, r *http.Request, err error) (answer error, log bool) {
	if !errors.Is(err, ErrUnauthenticated) {
		return err, true
	}
	wait := m.refusals.count(m.sessions.RemoteAddr(r), m.now())
	if wait <= 0 {
		return err, true
	}
	var signIn *SignInError
	if errors.As(err, &signIn) {
		return err, false // a browser on its way to sign in has shown nothing to guess with
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return &problem{status: http.StatusTooManyRequests, detail: "Too many requests were not authenticated. Those that are get through."}, false
}

// logMissed says how many refusals were not logged one by one.
func (m *mount) logMissed(ctx context.Context) {
	if missed := m.refusals.missed(m.now()); missed > 0 {
		m.sessions.Logger().LogAttrs(ctx, slog.LevelWarn, "admin audit", slog.String("action", "refused"), slog.Int("more_refused", missed))
	}
}
