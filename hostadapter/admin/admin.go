package admin

// The API: Config, Handler, Mount, and the interfaces that the routes depend on.

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/internal/auditlog"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Permission is the permission that a request requires.
type Permission string

// The permissions.
const (
	ReadSessions   Permission = "read"
	ChangeSessions Permission = "change"
)

// Actor is the sender of a request, for the audit.
type Actor struct {
	// ID identifies the actor, such as a subject or an account. It may be empty if Name is set.
	ID string
	// Name is the actor's name for people. It may be empty if ID is set.
	Name string
	// SignOut is the URL on the host's own origin to which the page's "Sign out" button posts. If it is
	// empty, the page has no such button.
	SignOut string
}

// Errors of an Authorizer.
var (
	// ErrUnauthenticated means that the sender is unknown. The response is 401, or 429 if there were more
	// than 20 such refusals from an address (an IPv6 /64), or 300 in total, within a minute. The Authorizer
	// checks at most 20 wrong Authorization headers from an address per minute. Further ones are not passed
	// to it, right or wrong, unless it admitted that address within the last hour: then the right secret
	// passes. Other credentials, such as cookies, are always checked; they must be too long to guess. A
	// header of a request that gets ErrForbidden counts as wrong.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrForbidden means that the actor lacks the permission. The response is 403. The Actor returned with it
	// is recorded in the audit.
	ErrForbidden = errors.New("permission denied")
)

// SignInError is an ErrUnauthenticated with the URL of the sign-in page. The admin page redirects the browser
// there; the JSON routes answer 401.
type SignInError struct {
	// URL is absolute or relative to the request's URL. The host may make it return to the request.
	URL string
}

// Error omits the URL, because the text is logged.
func (e *SignInError) Error() string { return ErrUnauthenticated.Error() }

// Is reports whether target is ErrUnauthenticated.
func (e *SignInError) Is(target error) bool { return target == ErrUnauthenticated }

// Authorizer decides whether a request is admitted and who sent it. It returns ErrUnauthenticated,
// ErrForbidden, or ticketstore.ErrUnavailable; any other error is answered with 500 and logged. It must not
// admit a request because it could not decide: an Actor with neither ID nor Name is also answered with 500
// and logged. The page also calls it with ChangeSessions to decide whether to show buttons, so a call must
// have no side effects.
type Authorizer func(r *http.Request, permission Permission) (Actor, error)

// Operations are the operations behind the routes. *hostadapter.Operations implements it.
type Operations interface {
	hostadapter.SessionManagement
	GrantManagement
	NotificationManagement
	BackendManagement
	Host
	// SessionByID returns one session, or ticketstore.ErrNotFound.
	SessionByID(ctx context.Context, sessionID string) (*hostadapter.SessionReport, error)
	// SessionProperties returns the session's properties that operators may see.
	SessionProperties(session *ticketstore.Session) map[string]string
	JobManagement
}

// JobManagement are the operations on jobs.
type JobManagement interface {
	// Job returns the progress of a removal. It returns ticketstore.ErrNotFound for an unknown id and for a
	// swap.
	Job(ctx context.Context, id string) (*logout.Job, error)
	// FollowJob calls ended with the note when the job has ended, for the audit. ResumeJobs does the same for
	// jobs started by hosts that stopped before the job ended.
	FollowJob(ctx context.Context, id string, note []byte, ended func(*hostadapter.JobEnd))
	ResumeJobs(ended func(*hostadapter.JobEnd))
}

// Host is what the routes need of the server around them.
type Host interface {
	// RemoteAddr returns the address that sent a request.
	RemoteAddr(r *http.Request) string
	// Logger is the default destination of the audit.
	Logger() *slog.Logger
	// Now returns the time relative to which times are shown.
	Now() time.Time
	// Activity returns this host's counts for each of the last 60 minutes, the current minute last.
	Activity() []hostadapter.Minute
}

// GrantManagement are the operations on grants.
type GrantManagement interface {
	// QueryGrants returns a page of live grants.
	QueryGrants(ctx context.Context, query grantstore.Query) (*grantstore.Page, error)
	// GrantID returns the opaque id of a grant.
	GrantID(ref grantstore.Ref) string
	// RemoveGrants removes and counts the grants that match a filter, or the one with an id.
	RemoveGrants(
		ctx context.Context, removal hostadapter.GrantRemoval,
	) (*hostadapter.GrantRemovalResult, error)
}

// NotificationManagement are the operations on notifications of clients.
type NotificationManagement interface {
	// QueryNotifications returns a page of notifications.
	QueryNotifications(ctx context.Context, query logout.NotificationQuery) (*logout.NotificationPage, error)
	// RetryNotification makes a notification due now. It returns ticketstore.ErrNotFound for an unknown id.
	RetryNotification(ctx context.Context, id string) (*logout.Notification, error)
	// RetryNotifications makes the notifications that match a filter due now, and counts them.
	RetryNotifications(ctx context.Context, filter logout.NotificationFilter) (int, error)
}

// BackendManagement are the operations on the backend.
type BackendManagement interface {
	// BackendStatus returns the current backend and its health.
	BackendStatus(ctx context.Context) *hostadapter.BackendStatus
	// BackendName is the configured name of the current backend. BackendNames are the names that the
	// configuration can swap to, and the current one, sorted.
	BackendName() string
	BackendNames() []string
	// Backup writes a backup. It returns hostadapter.ErrBackup, before writing anything, if no backup can be
	// taken now.
	Backup(ctx context.Context, w io.Writer) error
	Swapper
}

// Swapper replaces the backend while the server runs.
type Swapper interface {
	// Swap starts a swap to the named backend and returns the id of the job. It returns
	// ticketstore.ErrNotFound for an unknown name and hostadapter.ErrSwap if the swap is not possible.
	Swap(ctx context.Context, name string) (job string, err error)
	// Upgrade starts the replacement of the backend's program by a newer program over the same data. It
	// returns the same errors as Swap.
	Upgrade(ctx context.Context, name string) (job string, err error)
	// AbortSwap aborts a swap before its switch. It returns hostadapter.ErrSwap if the swap has ended and
	// ticketstore.ErrNotFound for an unknown job.
	AbortSwap(ctx context.Context, job string) error
	// SwapByID returns the progress of a swap, or ticketstore.ErrNotFound for an unknown job.
	SwapByID(ctx context.Context, job string) (*hostadapter.SwapState, error)
}

var _ Operations = (*hostadapter.Operations)(nil)

// Sessions provides Operations: a *hostadapter.Adapter or a *fositestore.Sessions.
type Sessions interface {
	Operations() *hostadapter.Operations
}

// Config configures Handler. Operations and Authorize are required.
type Config struct {
	// Operations are those of the adapter: sm.Operations().
	Operations Operations
	// Authorize decides who may use the routes.
	Authorize Authorizer
	// Audit receives one record for each change and each refused attempt; README.md documents its fields. The
	// default is the Operations' logger. Enabled is not called, and a record that Handle fails to write is
	// logged.
	Audit slog.Handler
}

// Handler serves the routes on any router. It expects paths relative to where it is mounted, so below a
// prefix wrap it in http.StripPrefix:
//
//	mux.Handle("/admin/", http.StripPrefix("/admin", admin.Handler(config)))
//	chiRouter.Mount("/admin", http.StripPrefix("/admin", admin.Handler(config))) // chi strips nothing
//
// The unstripped path is in the request's RequestURI, for Authorizers that need it. Unknown paths are
// answered with a 404 problem. Handler panics if a required field of the configuration is missing, so that
// the routes are never open by mistake.
func Handler(config Config) http.Handler {
	router := mux.NewRouter().SkipClean(true)
	MountConfig(router, config)
	return router
}

// Mount adds the routes of Handler to a gorilla/mux router, usually a subrouter with its own path prefix:
//
//	admin.Mount(router.PathPrefix("/admin").Subrouter(), sm, authorize)
//
// If the router has a NotFoundHandler, Mount does not replace it.
func Mount(router *mux.Router, sm Sessions, authorize Authorizer) {
	MountConfig(router, Config{Operations: sm.Operations(), Authorize: authorize})
}

// MountConfig is Mount with a Config. It panics as Handler does.
func MountConfig(router *mux.Router, config Config) {
	if config.Operations == nil {
		panic("admin: Config.Operations is not set")
	}
	if config.Authorize == nil {
		panic("admin: Config.Authorize is not set")
	}
	m := &mount{
		sessions: config.Operations, authorize: config.Authorize,
		crossOrigin: http.NewCrossOriginProtection(), stream: auditlog.Stream{
			Message: "admin audit", To: config.Audit, Logger: config.Operations.Logger(),
			Now: config.Operations.Now,
		},
	}
	for _, at := range []struct {
		path string
		of   routes
	}{ // in this order: an id may contain an escaped slash, so its pattern matches the rest of the path
		{"/sessions", get(m.querySessions)},
		{"/sessions/remove", post("remove_sessions", noQuery(m.removeSessions))},
		{"/sessions/{session_id:.+}", routes{
			http.MethodGet:    read(noQuery(m.getSession)),
			http.MethodDelete: change("delete_session", noQuery(m.deleteSession)),
		}},
		{"/logout/deliveries", get(m.queryDeliveries)},
		{"/logout/deliveries/retry", post("retry_deliveries", noQuery(m.retryDeliveries))},
		{"/logout/deliveries/{id:.+}/retry", post("retry_delivery", noQuery(m.retryDelivery))},
		{"/grants", get(m.queryGrants)},
		{"/grants/remove", post("remove_grants", noQuery(m.removeGrants))},
		{"/jobs/{id:.+}", get(noQuery(m.getJob))},
		{"/backend", get(noQuery(m.getBackend))},
		{"/backend/swap", post("swap_backend", noQuery(m.swapBackend))},
		{"/backend/swap/{id:.+}", routes{http.MethodDelete: change("abort_swap", noQuery(m.abortSwap))}},
		{"/backend/backup", post("back_up_backend", noQuery(m.backUp))},
		{"/openapi.json", get(noQuery(getContract))},
	} {
		router.Handle(at.path, m.dispatch(at.of, m.fail))
	}
	m.mountPages(router)
	m.sessions.ResumeJobs(m.jobEnded)
	if router.NotFoundHandler == nil {
		router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			protect(w)
			writeProblem(w, http.StatusNotFound, "There is nothing at this address.", "")
		})
	}
}
