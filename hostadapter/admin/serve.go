package admin

// Dispatch from route to handler: method, authorization, audit, errors.

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/internal/auditlog"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// mount is one mounted set of routes.
type mount struct {
	sessions    Operations
	authorize   Authorizer
	crossOrigin *http.CrossOriginProtection
	refusals    refusals
	stream      auditlog.Stream
}

// handler answers an admitted request, or returns the error to answer with. It adds the details of a change
// to the audit.
type handler func(w http.ResponseWriter, r *http.Request, audit *audit) error

type route struct {
	permission Permission
	action     string // the audit's name of the action, for changes
	handle     handler
}

// routes are the routes of one path, by method.
type routes map[string]route

func read(h handler) route { return route{permission: ReadSessions, handle: h} }

func change(action string, h handler) route {
	return route{permission: ChangeSessions, action: action, handle: h}
}

func get(h handler) routes { return routes{http.MethodGet: read(h)} }

func post(action string, h handler) routes { return routes{http.MethodPost: change(action, h)} }

// noQuery refuses query parameters, for routes that have none.
func noQuery(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request, record *audit) error {
		if p := readParameters(r); p.err != nil {
			return p.err
		}
		return h(w, r, record)
	}
}

// answerFailure answers a failed request.
type answerFailure func(w http.ResponseWriter, r *http.Request, err error)

// statusRecorder records the status of a response, for the audit.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (a *statusRecorder) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap supports http.ResponseController.
func (a *statusRecorder) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// dispatch serves the methods of a path and answers 405 to all others.
func (m *mount) dispatch(of routes, fail answerFailure) http.Handler {
	allowed := slices.Sorted(maps.Keys(of))
	if _, ok := of[http.MethodGet]; ok {
		allowed = append(allowed, http.MethodHead)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w)
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		route, ok := of[method]
		if !ok {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			fail(w, r, &problem{
				status: http.StatusMethodNotAllowed,
				detail: "This address does not take the method " + quoteMethod(r.Method) + ".",
			})
			return
		}
		m.serve(w, r, route, fail)
	})
}

// quoteMethod keeps arbitrary methods out of the response.
func quoteMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodTrace:
		return method
	}
	return "of the request"
}

func protect(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

func (m *mount) serve(rw http.ResponseWriter, r *http.Request, route route, fail answerFailure) {
	w := &statusRecorder{ResponseWriter: rw}
	m.logMissed(r.Context())
	record := &audit{action: cmp.Or(route.action, "read"), requestID: auditlog.RequestID(r)}
	w.Header().Set(auditlog.RequestIDHeader, record.requestID)
	err := m.admit(r, route, record)
	refused, logged := err != nil, true
	if refused {
		err, logged = m.refused(w, r, err)
	} else {
		// Events name the actor.
		r = r.WithContext(hostadapter.WithActor(r.Context(), cmp.Or(record.actor.ID, record.actor.Name)))
		err = route.handle(w, r, record)
	}
	var broken *abortedDownload
	if err != nil && !errors.As(err, &broken) {
		fail(w, r, err)
	}
	if logged && (refused || route.permission == ChangeSessions) {
		m.log(r, record, route.permission, w.status, err)
	}
	if record.job != "" {
		m.followJob(r.Context(), record)
	}
	if broken != nil {
		panic(http.ErrAbortHandler) // tells net/http to abort the response
	}
}

// admit calls the authorizer and refuses cross-origin changes from a browser.
func (m *mount) admit(r *http.Request, route route, record *audit) error {
	actor, err := m.authenticate(r, route.permission)
	record.actor = actor
	if err != nil {
		return err
	}
	if route.permission == ChangeSessions {
		if err := m.crossOrigin.Check(r); err != nil {
			return &problem{
				status: http.StatusForbidden, detail: "Changes must not come from the page of another site.",
			}
		}
	}
	return nil
}

// fail answers an error with a problem.
func (m *mount) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := m.problemFor(w, r, err)
	writeProblem(w, p.status, p.detail, p.field)
}

// notFound says what was not found, where err is ticketstore.ErrNotFound.
func notFound(err error, detail string) error {
	if errors.Is(err, ticketstore.ErrNotFound) {
		return &problem{status: http.StatusNotFound, detail: detail}
	}
	return err
}

// problemFor converts an error to the problem for the sender, sets its headers, and logs server errors.
func (m *mount) problemFor(w http.ResponseWriter, r *http.Request, err error) problem {
	var own *problem
	var field *ticketstore.FieldError
	status := http.StatusInternalServerError
	detail := "The request failed. The server's log says why."
	name := ""
	switch {
	case errors.As(err, &own):
		status, detail, name = own.status, own.detail, own.field
	case errors.Is(err, ErrUnauthenticated):
		status, detail = http.StatusUnauthorized, "The request is not authenticated."
		w.Header().Set("WWW-Authenticate", `Bearer realm="admin"`)
	case errors.Is(err, ErrForbidden):
		status, detail = http.StatusForbidden, "The permission for this request is missing."
	case errors.As(err, &field):
		status, detail, name = http.StatusBadRequest, field.Field+" "+field.Problem+".", field.Field
	case errors.Is(err, ticketstore.ErrInvalid):
		status, detail = http.StatusBadRequest, "The request is invalid."
	case errors.Is(err, ticketstore.ErrNotFound):
		status, detail = http.StatusNotFound, "The resource does not exist."
	case errors.Is(err, logout.ErrBusy):
		status, detail = http.StatusConflict, "Another removal of all sessions is under way."
	case errors.Is(err, ticketstore.ErrConflict), errors.Is(err, ticketstore.ErrExists):
		status, detail = http.StatusConflict, "The resource has changed concurrently."
	case errors.Is(err, ticketstore.ErrNoSpace):
		status, detail = http.StatusServiceUnavailable, "The disk of the session store is nearly full, and "+
			"this change was refused. Make room on it."
		w.Header().Set("Retry-After", "60")
	case errors.Is(err, ticketstore.ErrUnavailable):
		status, detail = http.StatusServiceUnavailable, "The session store cannot be reached."
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			detail += " A change may have been carried out."
		}
		w.Header().Set("Retry-After", "5")
	case r.Context().Err() != nil:
		status, detail = http.StatusServiceUnavailable, "The request was canceled before it was answered."
	}
	if status >= http.StatusInternalServerError {
		m.sessions.Logger().ErrorContext(r.Context(), "admin request failed",
			"path", auditlog.Bounded(r.URL.Path), "status", status, "error", err)
	}
	return problem{status: status, detail: detail, field: name}
}

// pathValue returns a variable of the path, followed by tail. A router with UseEncodedPath returns escaped
// variables, others unescaped ones.
func pathValue(r *http.Request, name, tail string) (string, error) {
	value := mux.Vars(r)[name]
	if strings.HasSuffix(r.URL.Path, value+tail) {
		return value, nil
	}
	unescaped, err := url.PathUnescape(value)
	if err != nil {
		return "", ticketstore.Invalidf(name, "is not escaped correctly")
	}
	return unescaped, nil
}
