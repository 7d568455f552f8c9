package hostadapter

// The middleware: reads a session when a handler first asks for it.

import (
	"context"
	"net/http"
	"sync"
)

// holderKey is the context key of an adapter's holder: two adapters in one process do not see each other's.
type holderKey struct{ adapter *Adapter }

// holder holds the session of one request, so that a handler can sign in and continue in the same request. It
// is also the context in which it is found: every request has one, whether or not it asks for a session.
type holder struct {
	context.Context //nolint:containedctx // it is a context itself
	adapter         *Adapter
	request         *http.Request

	mu      sync.Mutex
	loaded  bool
	session *Session
	secret  *secret // of the cookie set by this request, if any
}

// Middleware gives each request a holder for its session. It does not access the store: the first call of
// Session does.
func (a *Adapter) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.holder(r.Context()) != nil {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(&holder{Context: r.Context(), adapter: a, request: r}))
	})
}

// Value implements context.Context.
func (h *holder) Value(key any) any {
	if key, ok := key.(holderKey); ok && key.adapter == h.adapter {
		return h
	}
	return h.Context.Value(key)
}

func (a *Adapter) holder(ctx context.Context) *holder {
	h, _ := ctx.Value(holderKey{a}).(*holder)
	return h
}

// load returns the session, which it reads from the store the first time. Errors are not cached.
func (h *holder) load(r *http.Request) (*Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loaded {
		return h.session.clone(), nil
	}
	session, err := h.adapter.lookUp(r)
	if err != nil {
		return nil, err
	}
	h.loaded, h.session = true, session
	return session.clone(), nil
}

// set stores the result of a sign-in or a sign-out.
func (h *holder) set(session *Session, cookie *secret) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loaded, h.session, h.secret = true, session.clone(), cookie
}
