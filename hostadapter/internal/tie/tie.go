// Package tie is what fositestore and account need of a hostadapter.Adapter and hosts do not. Go lets
// packages share what users of a module must not import only through a package below internal.
package tie

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
)

// Adapter is a hostadapter.Adapter as those packages see it.
type Adapter interface {
	Host
	Sealer
	Slider
	Forms
	Marks
}

// Host is what an adapter was configured with, and how it makes calls.
type Host interface {
	// Issuer returns the server's issuer.
	Issuer() string
	// ServesIssuer reports whether the issuer is the server's, or was before it was renamed.
	ServesIssuer(issuer string) bool
	// Logger returns the logger in use.
	Logger() *slog.Logger
	// Now returns the moment by the clock in use, in UTC.
	Now() time.Time
	// Persist makes a call to a store and repeats it while its outcome is unknown: the store could not be
	// reached, or time ran out. It repeats a few times, and a few seconds at most. The call must change
	// nothing the second time, as a batch with an operation id. Repetitions go on after ctx was canceled, for
	// the call may have been carried out, but not past the deadline of ctx.
	Persist(ctx context.Context, call func(ctx context.Context) error) error
	// EndExpired ends a session that is past its time, which decides what outlives it. A live one stays as it
	// is. The sweep would end it within a second: a failure is logged, and no reason to fail a request.
	EndExpired(ctx context.Context, sessionID string)
	// UserActive asks Config.UserActive, and ends all that the user has where the answer is no. An error is
	// ticketstore.ErrUnavailable.
	UserActive(ctx context.Context, subjectID string) (bool, error)
}

// Binding is what a record is sealed for.
type Binding struct {
	Purpose string
	ID      []byte
}

// Sealer encrypts what a backend must not read, and detects what it has changed.
type Sealer interface {
	// Seal encrypts plaintext with the first key. Only Unseal with the same binding opens it.
	Seal(bound Binding, plaintext []byte) []byte
	// Unseal opens what Seal sealed with any of the keys. What cannot be opened is hostadapter.ErrSealed and
	// is logged, the same once a minute at most.
	Unseal(bound Binding, sealed []byte) ([]byte, error)
	// UnsealBound opens what was sealed for bound or, until Config.UnboundUntil, for former, which is less
	// than what the record belongs to: it is to be sealed again where it can. Later such a record is
	// hostadapter.ErrFormerSeal.
	UnsealBound(bound, former Binding, sealed []byte) (plaintext []byte, isFormer bool, err error)
}

// Slider extends sessions that clients use.
type Slider interface {
	// Coordinates reports whether the client's activity keeps sessions alive.
	Coordinates(client *logout.Client) bool
	// Slide returns what extends a session in a batch that is written anyway. The store applies it no more
	// often than Config.Lifetime.RenewEvery.
	Slide(sessionID string) *grantstore.Slide
	// SlideDue reports whether SlideNow writes anything: it does not where times say that it is too early.
	SlideDue(times *grantstore.SessionTimes) bool
	// SlideNow extends a session that a client uses without anything being written, as by introspection.
	// times came with the client's token: where they say that it is too early, nothing is written. A failure
	// is logged; the session was live and the next use extends it.
	SlideNow(ctx context.Context, sessionID, subjectID string, times *grantstore.SessionTimes)
	// Slid reports, to the subscribers of events, a session that was extended in a batch (grantstore.Result).
	Slid(sessionID, subjectID string)
}

// Forms protects forms that change something for a session's user.
type Forms interface {
	// FormToken returns a value for a hidden field. CheckFormToken accepts it for an hour, from the same
	// session only: no other site can make one.
	FormToken(sessionID string) string
	// CheckFormToken reports whether the token is one that FormToken made for the session, not too long ago.
	CheckFormToken(sessionID, token string) bool
}

// Marks are values in URLs that come back with the browser that they were made for, whether or not a user
// is signed in there.
type Marks interface {
	// Mark returns data, sealed for the request's browser and for what it is about. The browser gets a cookie
	// that lives that long.
	Mark(w http.ResponseWriter, r *http.Request, about, data []byte, lifetime time.Duration) string
	// ReadMark returns the data of a mark, if it was made for the request's browser, and about the same.
	ReadMark(r *http.Request, about []byte, mark string) (data []byte, ok bool)
}
