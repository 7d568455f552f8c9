package admin

// The API: Config, Handler, Mount, and what the routes need of a server.

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

// Permission is what a request needs.
type Permission string

// The permissions.
const (
	ReadSessions   Permission = "read"
	ChangeSessions Permission = "change"
)

// Actor is who sent a request, for the audit.
type Actor struct {
	// ID is what identifies the actor, such as a subject or an account. It may be empty where Name is not.
	ID string
	// Name is what a person reads. It may be empty where ID is not.
	Name string
	// SignOut is where the page's "Sign out" posts to, on the host's own origin. Without it the page has no
	// such button.
	SignOut string
}

// Errors of an Authorizer.
var (
	// ErrUnauthenticated: it is not known who sent the request. The answer is 401, and 429 where there were
	// more than 20 of them from an address (an IPv6 /64), or 300 altogether, within a minute. The Authorizer
	// looks at 20 wrong Authorization headers of an address in a minute. It is not asked about more, right or
	// wrong, unless it let that address through within the last hour: there the right secret passes. What
	// authenticates otherwise, such as a cookie, is always tried, and must be too long to guess.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrForbidden: the actor lacks the permission. The answer is 403. The Actor returned along with it goes
	// to the audit.
	ErrForbidden = errors.New("permission denied")
)

// SignInError is an ErrUnauthenticated that knows where to sign in. The page leads a browser there; the JSON
// routes answer 401.
type SignInError struct {
	// URL is absolute or relative to the request's. It may lead back: the host has the request.
	URL string
}

// Error says nothing of the URL, which goes into the log with it.
func (e *SignInError) Error() string { return ErrUnauthenticated.Error() }

// Is makes errors.Is(err, ErrUnauthenticated) hold.
func (e *SignInError) Is(target error) bool { return target == ErrUnauthenticated }

// Authorizer decides whether a request is let through and says who sent it. Its errors are
// ErrUnauthenticated, ErrForbidden, or ticketstore.ErrUnavailable; any other is answered 500 and logged. It
// must not let a request through because it could not decide: an Actor with neither ID nor Name is answered
// 500 and logged too. The page also asks for ChangeSessions to know whether to show buttons: asking alone
// changes nothing.
type Authorizer func(r *http.Request, permission Permission) (Actor, error)

// Operations is what the routes do. A *hostadapter.Operations is one.
type Operations interface {
	hostadapter.SessionManagement
	GrantManagement
	NotificationManagement
	BackendManagement
	Host
	// SessionByID returns one session; an unknown one is ticketstore.ErrNotFound.
	SessionByID(ctx context.Context, sessionID string) (*hostadapter.SessionReport, error)
	// SessionProperties returns what operators see of a session's properties.
	SessionProperties(session *ticketstore.Session) map[string]string
	JobManagement
}

// JobManagement is what the routes do with jobs.
type JobManagement interface {
	// Job returns the progress of a removal; an unknown one, and a swap, is ticketstore.ErrNotFound.
	Job(ctx context.Context, id string) (*logout.Job, error)
	// FollowJob calls ended with the note once a job has ended, for the audit. ResumeJobs does so for the
	// jobs of hosts that ended before them.
	FollowJob(ctx context.Context, id string, note []byte, ended func(*hostadapter.JobEnd))
	ResumeJobs(ended func(*hostadapter.JobEnd))
}

// Host is what the routes need of the server around them.
type Host interface {
	// RemoteAddr returns where a request came from.
	RemoteAddr(r *http.Request) string
	// Logger is where the audit goes.
	Logger() *slog.Logger
	// Now is the clock that times are shown by.
	Now() time.Time
	// Activity is what this host did in each of the last 60 minutes, the present one last.
	Activity() []hostadapter.Minute
}

// GrantManagement is what the routes do with grants.
type GrantManagement interface {
	// QueryGrants returns a page of live grants.
	QueryGrants(ctx context.Context, query grantstore.Query) (*grantstore.Page, error)
	// GrantID returns the opaque id of a grant.
	GrantID(ref grantstore.Ref) string
	// RemoveGrants removes grants, or the one of an id, and counts them.
	RemoveGrants(
		ctx context.Context, removal hostadapter.GrantRemoval,
	) (*hostadapter.GrantRemovalResult, error)
}

// NotificationManagement is what the routes do with notifications of clients.
type NotificationManagement interface {
	// QueryNotifications returns a page of notifications.
	QueryNotifications(ctx context.Context, query logout.NotificationQuery) (*logout.NotificationPage, error)
	// RetryNotification has a notification delivered again now; an unknown one is ticketstore.ErrNotFound.
	RetryNotification(ctx context.Context, id string) (*logout.Notification, error)
	// RetryNotifications has those that a filter selects delivered again now, and counts them.
	RetryNotifications(ctx context.Context, filter logout.NotificationFilter) (int, error)
}

// BackendManagement is what the routes do with the backend.
type BackendManagement interface {
	// BackendStatus returns what serves and how it is.
	BackendStatus(ctx context.Context) *hostadapter.BackendStatus
	// BackendName is what the backend that serves is called, BackendNames are those of the configuration that
	// may take over, sorted, and that one.
	BackendName() string
	BackendNames() []string
	// Backup writes a backup. One that cannot be taken now is hostadapter.ErrBackup, before anything is
	// written.
	Backup(ctx context.Context, w io.Writer) error
	Swapper
}

// Swapper replaces the backend while it serves.
type Swapper interface {
	// Swap begins a swap to a backend by its name and returns the id of the job. An unknown name is
	// ticketstore.ErrNotFound, a swap that cannot be is hostadapter.ErrSwap.
	Swap(ctx context.Context, name string) (job string, err error)
	// Upgrade begins the replacement of the program that serves by another over the same data. Its errors are
	// those of Swap.
	Upgrade(ctx context.Context, name string) (job string, err error)
	// AbortSwap aborts a swap before its switch; one that is over is hostadapter.ErrSwap, an unknown one
	// ticketstore.ErrNotFound.
	AbortSwap(ctx context.Context, job string) error
	// SwapByID returns the progress of a swap; an unknown one is ticketstore.ErrNotFound.
	SwapByID(ctx context.Context, job string) (*hostadapter.SwapState, error)
}

var _ Operations = (*hostadapter.Operations)(nil)

// Sessions is what has operations: a *hostadapter.Adapter, or a *fositestore.Sessions.
type Sessions interface {
	Operations() *hostadapter.Operations
}

// Config says what the routes work on and who may use them. Operations and Authorize are required.
type Config struct {
	// Operations are those of the adapter: sm.Operations().
	Operations Operations
	// Authorize decides who may use the routes.
	Authorize Authorizer
	// Audit is where the audit goes: a line for each change and each refused attempt, whose fields README.md
	// documents. By default it is in the log of the Operations. Enabled is not asked, and a line that Handle
	// fails to write goes to the log.
	Audit slog.Handler
}

// Handler serves the routes on any router. It takes addresses relative to where it is mounted, so below a
// prefix wrap it in http.StripPrefix:
//
//	mux.Handle("/admin/", http.StripPrefix("/admin", admin.Handler(config)))
//	chiRouter.Mount("/admin", http.StripPrefix("/admin", admin.Handler(config))) // chi strips nothing
//
// An Authorizer that needs the address as it was sent finds it in the request's RequestURI. Any other path is
// answered 404 as a problem. Handler panics where a field of the configuration is missing: the routes must
// not be open to everybody by mistake.
func Handler(config Config) http.Handler {
	router := mux.NewRouter().SkipClean(true)
	MountConfig(router, config)
	return router
}

// Mount adds the routes of Handler to a router of gorilla/mux, usually a subrouter below a path of its own:
//
//	admin.Mount(router.PathPrefix("/admin").Subrouter(), sm, authorize)
//
// A router that has a NotFoundHandler keeps it.
func Mount(router *mux.Router, sm Sessions, authorize Authorizer) {
	MountConfig(router, Config{Operations: sm.Operations(), Authorize: authorize})
}

// MountConfig is Mount with all that a Config says. It panics as Handler does.
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
	}{ // in this order: an id may contain an escaped slash, so its pattern takes all that is left
		{"/sessions", get(m.querySessions)},
		{"/sessions/remove", post("remove_sessions", bare(m.removeSessions))},
		{"/sessions/{session_id:.+}", routes{
			http.MethodGet:    read(bare(m.getSession)),
			http.MethodDelete: change("delete_session", bare(m.deleteSession)),
		}},
		{"/logout/deliveries", get(m.queryDeliveries)},
		{"/logout/deliveries/retry", post("retry_deliveries", bare(m.retryDeliveries))},
		{"/logout/deliveries/{id:.+}/retry", post("retry_delivery", bare(m.retryDelivery))},
		{"/grants", get(m.queryGrants)},
		{"/grants/remove", post("remove_grants", bare(m.removeGrants))},
		{"/jobs/{id:.+}", get(bare(m.getJob))},
		{"/backend", get(bare(m.getBackend))},
		{"/backend/swap", post("swap_backend", bare(m.swapBackend))},
		{"/backend/swap/{id:.+}", routes{http.MethodDelete: change("abort_swap", bare(m.abortSwap))}},
		{"/backend/backup", post("back_up_backend", bare(m.backUp))},
		{"/openapi.json", get(bare(getContract))},
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
