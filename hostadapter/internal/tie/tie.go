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

// Adapter holds the configuration and the functions of a hostadapter.Adapter for those packages.
type Adapter struct {
	// Issuer is the server's issuer.
	Issuer string
	// ServesIssuer reports whether the issuer is the server's current or former one.
	ServesIssuer func(issuer string) bool
	// Logger is the logger in use.
	Logger *slog.Logger
	// Now returns the current time by the configured clock, in UTC.
	Now func() time.Time
	// Persist makes a store call and retries it while its outcome is unknown because the store was
	// unreachable or timed out, a few times and for a few seconds at most. The call must be idempotent, such
	// as a batch with an operation id. Retries continue after ctx is canceled, because the call may have been
	// applied, but not past the deadline of ctx.
	Persist func(ctx context.Context, call func(ctx context.Context) error) error
	// EndExpired ends a session that has expired; the expiry settings decide what outlives it. A live session
	// is left unchanged. A failure is only logged, because the sweep would end the session within a second.
	EndExpired func(ctx context.Context, sessionID string)
	// UserActive calls Config.UserActive, and ends everything the user has if it returns false. Errors are
	// ticketstore.ErrUnavailable.
	UserActive func(ctx context.Context, subjectID string) (bool, error)

	// Seal encrypts plaintext with the first key. Only Unseal with the same binding opens it.
	Seal func(bound Binding, plaintext []byte) []byte
	// Unseal opens a value sealed with any of the keys. If that fails it returns hostadapter.ErrSealed, and
	// logs the failure, each kind at most once a minute.
	Unseal func(bound Binding, sealed []byte) ([]byte, error)
	// UnsealBound opens a value sealed for bound or, until Config.UnboundUntil, for former, an earlier
	// binding to less of the record's identity: the caller should then seal it again. After UnboundUntil such
	// a value is hostadapter.ErrFormerSeal.
	UnsealBound func(bound, former Binding, sealed []byte) (plaintext []byte, isFormer bool, err error)

	// Coordinates reports whether the client's activity keeps sessions alive.
	Coordinates func(client *logout.Client) bool
	// Slide returns the renewal of a session for a batch that is written anyway. The store applies it at most
	// once per Config.Lifetime.RenewEvery.
	Slide func(sessionID string) *grantstore.Slide
	// SlideDue reports whether SlideNow would write: it does not if it is too early by times.
	SlideDue func(times *grantstore.SessionTimes) bool
	// SlideNow renews a session that a client uses in a request that writes nothing, such as introspection.
	// times came with the client's token: if it is too early by them, nothing is written. A failure is
	// logged; the session was live and its next use renews it.
	SlideNow func(ctx context.Context, sessionID, subjectID string, times *grantstore.SessionTimes)
	// Slid publishes the event of a session that was renewed by a batch (grantstore.Result).
	Slid func(sessionID, subjectID string)

	// FormToken returns the value of a hidden field. CheckFormToken accepts it for an hour, from the same
	// session only: no other site can forge it.
	FormToken      func(sessionID string) string
	CheckFormToken func(sessionID, token string) bool

	// Mark returns data, sealed for the request's browser and for about, for a URL that is valid only in that
	// browser, whether or not a user is signed in there. It sets a cookie with that lifetime.
	Mark func(w http.ResponseWriter, r *http.Request, about, data []byte, lifetime time.Duration) string
	// ReadMark returns the data of a mark if it was made for the request's browser and the same about.
	ReadMark func(r *http.Request, about []byte, mark string) (data []byte, ok bool)
}

// Binding is what a record is sealed for.
type Binding struct {
	Purpose string
	ID      []byte
}
