package hostadapter

// The middleware: a session is read when a handler first asks for it.

import (
	"context"
	"net/http"
	"sync"
)

// holderKey finds an adapter's holder in a context: two adapters in one process do not see each other's.
type holderKey struct{ adapter *Adapter }

// holder is one request's place for its session. It lets a handler sign in and go on in the same request. It
// is a context too, in which it is found: every request has one, whether or not it asks for a session.
type holder struct {
	context.Context //nolint:containedctx // it adds a value to it
	adapter         *Adapter
	request         *http.Request

	mu      sync.Mutex
	loaded  bool
	session *Session
	secret  *secret // that of the cookie this request set, if it did
}

// Middleware gives each request a place for its session. It asks the store nothing: the first call of Session
// does.
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

// load returns the session, from the store the first time. A failure is not remembered.
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

// set puts the outcome of a sign-in or a sign-out in place.
func (h *holder) set(session *Session, cookie *secret) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loaded, h.session, h.secret = true, session.clone(), cookie
}
