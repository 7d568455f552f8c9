package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
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
	// ID is what identifies the actor, such as a subject or an account. It may be empty.
	ID string
	// Name is what a person reads.
	Name string
	// SignOut is where the page's "Sign out" posts to, on the host's own origin. Without it the page has no such button.
	SignOut string
}

// Errors of an Authorizer.
var (
	// ErrUnauthenticated: it is not known who sent the request. The answer is 401, and 429 where there were
	// more than 20 of them from an address (an IPv6 /64), or 300 altogether, within a minute. The Authorizer
	// looks at 20 wrong Authorization headers of an address in a minute. It is not asked about more, right or
	// wrong, unless it let that address through within the last hour: there the right secret passes. What
	// authenticates otherwise, such as a cookie, is always looked at, and must be too long to guess.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrForbidden: the actor lacks the permission. The answer is 403. The Actor returned along with it goes to the audit.
	ErrForbidden = errors.New("permission denied")
)

// SignInError is an ErrUnauthenticated that knows where to sign in. The page leads a browser there; the JSON routes answer 401 as ever.
type SignInError struct {
	// URL is absolute or relative to the request's. It may lead back: the host has the request.
	URL string
}

// Error says nothing of the URL, which goes into the log with it.
func (e *SignInError) Error() string { return ErrUnauthenticated.Error() }

// Is makes errors.Is(err, ErrUnauthenticated) hold.
func (e *SignInError) Is(target error) bool { return target == ErrUnauthenticated }

// Authorizer decides whether a request is let through and says who sent it. Its errors are ErrUnauthenticated, ErrForbidden, or
// ticketstore.ErrUnavailable; any other is answered 500 and logged. It must not let a request through because it could not decide.
// The page also asks for ChangeSessions to know whether to show buttons: asking alone changes nothing.
type Authorizer func(r *http.Request, permission Permission) (Actor, error)

// Manager is what the routes work on. A *hostadapter.Adapter is one.
type Manager interface {
	hostadapter.SessionManagement
	GrantManagement
	DeliveryManagement
	Operations
	// SessionByID returns one session; an unknown one is ticketstore.ErrNotFound.
	SessionByID(ctx context.Context, sessionID string) (*hostadapter.SessionReport, error)
	// RemoteAddr tells where a request came from.
	RemoteAddr(r *http.Request) string
	// Logger is where the audit goes.
	Logger() *slog.Logger
}

// GrantManagement is what the routes do with grants.
type GrantManagement interface {
	// QueryGrants returns a page of live grants.
	QueryGrants(ctx context.Context, query grantstore.Query) (*grantstore.Page, error)
	// RemoveGrants removes grants and counts them.
	RemoveGrants(ctx context.Context, removal hostadapter.RemoveGrants) (*hostadapter.GrantsRemoved, error)
}

// DeliveryManagement is what the routes do with notices to clients.
type DeliveryManagement interface {
	// Notifications returns a page of notices.
	Notifications(ctx context.Context, query logout.NotificationQuery) (*logout.NotificationPage, error)
	// RetryDelivery has a notice sent again now; an unknown one is ticketstore.ErrNotFound.
	RetryDelivery(ctx context.Context, id string) (*logout.Notification, error)
	// RetryDeliveries has the notices that a filter selects sent again now, and counts them.
	RetryDeliveries(ctx context.Context, filter logout.NotificationFilter) (int, error)
}

// Operations is what the routes tell of the work that goes on.
type Operations interface {
	// Job returns the progress of a job; an unknown one is ticketstore.ErrNotFound.
	Job(ctx context.Context, id string) (*hostadapter.Job, error)
	// BackendStatus tells what runs and how it is.
	BackendStatus(ctx context.Context) *hostadapter.BackendStatus
}

var _ Manager = (*hostadapter.Adapter)(nil)

// Mount adds the routes to a router, which is usually a subrouter below a path of its own. All of the router's other paths are answered
// 404 as a problem, unless it has a NotFoundHandler. Without a manager or an authorizer Mount panics: the routes must not be open to
// everybody by mistake.
func Mount(router *mux.Router, sessions Manager, authorize Authorizer) {
	if sessions == nil {
		panic("admin.Mount: sessions is nil")
	}
	if authorize == nil {
		panic("admin.Mount: authorize is nil: the admin routes need an Authorizer")
	}
	m := &mount{sessions: sessions, authorize: authorize, crossOrigin: http.NewCrossOriginProtection()}
	read := func(h handler) route { return route{permission: ReadSessions, handle: h} }
	change := func(action string, h handler) route {
		return route{permission: ChangeSessions, action: action, handle: h}
	}

	// The order matters: an id may contain an escaped slash, so its pattern takes all that is left.
	router.Handle("/sessions", m.methods(map[string]route{http.MethodGet: read(m.querySessions)}))
	router.Handle("/sessions/remove", m.methods(map[string]route{http.MethodPost: change("remove_sessions", m.removeSessions)}))
	router.Handle("/sessions/{session_id:.+}", m.methods(map[string]route{
		http.MethodGet:    read(m.getSession),
		http.MethodDelete: change("delete_session", m.deleteSession),
	}))
	router.Handle("/logout/deliveries", m.methods(map[string]route{http.MethodGet: read(m.queryDeliveries)}))
	router.Handle("/logout/deliveries/retry", m.methods(map[string]route{
		http.MethodPost: change("retry_deliveries", m.retryDeliveries),
	}))
	router.Handle("/logout/deliveries/{id:.+}/retry", m.methods(map[string]route{
		http.MethodPost: change("retry_delivery", m.retryDelivery),
	}))
	router.Handle("/grants", m.methods(map[string]route{http.MethodGet: read(m.queryGrants)}))
	router.Handle("/grants/remove", m.methods(map[string]route{http.MethodPost: change("remove_grants", m.removeGrants)}))
	router.Handle("/jobs/{id:.+}", m.methods(map[string]route{http.MethodGet: read(m.getJob)}))
	router.Handle("/backend", m.methods(map[string]route{http.MethodGet: read(m.getBackend)}))
	m.mountSwap(router, change)
	m.mountBackup(router, change)
	m.mountPages(router)
	if router.NotFoundHandler == nil {
		router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			protect(w)
			writeProblem(w, http.StatusNotFound, "There is nothing at this address.", "")
		})
	}
}
