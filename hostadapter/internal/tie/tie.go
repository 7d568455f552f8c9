// Package tie defines the parts of hostadapter.Adapter that fositestore and account need but hosts do not. It
// is below internal because that is how packages of a module share an API that its users cannot import.
package tie

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
)

// Adapter is the interface of hostadapter.Adapter for those packages.
type Adapter interface {
	Host
	Sealer
	Slider
	Forms
	Marks
}

// Host is the adapter's configuration, and how it makes calls.
type Host interface {
	// Issuer returns the server's issuer.
	Issuer() string
	// ServesIssuer reports whether the issuer is the server's current or former one.
	ServesIssuer(issuer string) bool
	// Logger returns the logger in use.
	Logger() *slog.Logger
	// Now returns the current time by the configured clock, in UTC.
	Now() time.Time
	// Persist makes a store call and retries it while its outcome is unknown because the store was
	// unreachable or timed out, a few times and for a few seconds at most. The call must be idempotent, such
	// as a batch with an operation id. Retries continue after ctx is canceled, because the call may have been
	// applied, but not past the deadline of ctx.
	Persist(ctx context.Context, call func(ctx context.Context) error) error
	// EndExpired ends a session that has expired; the expiry settings decide what outlives it. A live session
	// is left unchanged. A failure is only logged, because the sweep would end the session within a second.
	EndExpired(ctx context.Context, sessionID string)
	// UserActive calls Config.UserActive, and ends everything the user has if it returns false. Errors are
	// ticketstore.ErrUnavailable.
	UserActive(ctx context.Context, subjectID string) (bool, error)
}

// Binding is what a record is sealed for.
type Binding struct {
	Purpose string
	ID      []byte
}

// Sealer encrypts data that a backend must not read, and detects tampering.
type Sealer interface {
	// Seal encrypts plaintext with the first key. Only Unseal with the same binding opens it.
	Seal(bound Binding, plaintext []byte) []byte
	// Unseal opens a value sealed with any of the keys. If that fails it returns hostadapter.ErrSealed, and
	// logs the failure, each kind at most once a minute.
	Unseal(bound Binding, sealed []byte) ([]byte, error)
	// UnsealBound opens a value sealed for bound or, until Config.UnboundUntil, for former, an earlier
	// binding to less of the record's identity: the caller should then seal it again. After UnboundUntil such
	// a value is hostadapter.ErrFormerSeal.
	UnsealBound(bound, former Binding, sealed []byte) (plaintext []byte, isFormer bool, err error)
}

// Slider renews sessions that clients use.
type Slider interface {
	// Coordinates reports whether the client's activity keeps sessions alive.
	Coordinates(client *logout.Client) bool
	// Slide returns the renewal of a session for a batch that is written anyway. The store applies it at most
	// once per Config.Lifetime.RenewEvery.
	Slide(sessionID string) *grantstore.Slide
	// SlideDue reports whether SlideNow would write: it does not if it is too early by times.
	SlideDue(times *grantstore.SessionTimes) bool
	// SlideNow renews a session that a client uses in a request that writes nothing, such as introspection.
	// times came with the client's token: if it is too early by them, nothing is written. A failure is
	// logged; the session was live and its next use renews it.
	SlideNow(ctx context.Context, sessionID, subjectID string, times *grantstore.SessionTimes)
	// Slid publishes the event of a session that was renewed by a batch (grantstore.Result).
	Slid(sessionID, subjectID string)
}

// Forms protects forms that make changes for a session's user.
type Forms interface {
	// FormToken returns the value of a hidden field. CheckFormToken accepts it for an hour, from the same
	// session only: no other site can forge it.
	FormToken(sessionID string) string
	// CheckFormToken reports whether FormToken made the token for the session within the last hour.
	CheckFormToken(sessionID, token string) bool
}

// Marks are values in URLs that are valid only in the browser they were made for, whether or not a user is
// signed in there.
type Marks interface {
	// Mark returns data, sealed for the request's browser and for about. It sets a cookie with that lifetime.
	Mark(w http.ResponseWriter, r *http.Request, about, data []byte, lifetime time.Duration) string
	// ReadMark returns the data of a mark if it was made for the request's browser and the same about.
	ReadMark(r *http.Request, about []byte, mark string) (data []byte, ok bool)
}
