package fositestore

// Checks what fosite's handlers were composed with.

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"
)

// maxDepth bounds how deep a handler is searched for a store.
const maxDepth = 6

// grantStorages are the storage interfaces whose rows depend on a session.
var grantStorages = []reflect.Type{
	reflect.TypeFor[oauth2.AuthorizeCodeStorage](), reflect.TypeFor[oauth2.AccessTokenStorage](),
	reflect.TypeFor[oauth2.RefreshTokenStorage](),
	reflect.TypeFor[openid.OpenIDConnectRequestStorage](), reflect.TypeFor[pkce.PKCERequestStorage](),
}

// checkComposition returns an error naming the first handler of the provider that keeps grants in a store
// other than Store or one returned by Wrap, or that accepts JWTs without asking a store: what these accept
// would survive a removal.
func (s *Sessions) checkComposition(provider fosite.OAuth2Provider) error {
	ctx, config := context.Background(), fosite.Configurator(s.fosite)
	if own, ok := provider.(*fosite.Fosite); ok && own.Config != nil {
		config = own.Config
	}
	var handlers []any
	for _, h := range config.GetAuthorizeEndpointHandlers(ctx) {
		handlers = append(handlers, h)
	}
	for _, h := range config.GetTokenEndpointHandlers(ctx) {
		handlers = append(handlers, h)
	}
	for _, h := range config.GetTokenIntrospectionHandlers(ctx) {
		handlers = append(handlers, h)
	}
	for _, h := range config.GetRevocationHandlers(ctx) {
		handlers = append(handlers, h)
	}
	for _, h := range handlers {
		switch found := s.findForeign(reflect.ValueOf(h), 0, map[uintptr]bool{}); found {
		case nil:
		case stateless:
			return fmt.Errorf("fositestore: handler %T accepts JWTs without asking a store, also after "+
				"their session has ended: compose OAuth2TokenIntrospectionFactory instead of "+
				"OAuth2StatelessJWTIntrospectionFactory", h)
		default:
			return fmt.Errorf("fositestore: handler %T keeps grants in a %s, where they would outlive "+
				"their session: compose the fosite.Config once, with Sessions.Store (one that was composed "+
				"before keeps its earlier handlers), or, to keep that store, with Sessions.Wrap", h, found)
		}
	}
	return nil
}

// stateless is fosite's handler that accepts an access token, or an ID token, until its exp.
var stateless = reflect.TypeFor[oauth2.StatelessJWTValidator]()

// findForeign returns the type of the first foreign store in v that keeps grants, or stateless, or nil.
func (s *Sessions) findForeign(v reflect.Value, depth int, seen map[uintptr]bool) reflect.Type {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	// Skip configurations: they keep no grants, and their caches may be written to concurrently.
	if !v.IsValid() || depth > maxDepth || v.Type().Implements(reflect.TypeFor[fosite.Configurator]()) {
		return nil
	}
	if depth > 0 && isStore(v.Type()) {
		if s.containsOurStore(v, 0) {
			return nil
		}
		return v.Type()
	}
	if v.Kind() == reflect.Pointer {
		if seen[v.Pointer()] {
			return nil
		}
		seen[v.Pointer()] = true
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	if v.Type() == stateless {
		return stateless
	}
	for i := range v.NumField() {
		if found := s.findForeign(v.Field(i), depth+1, seen); found != nil {
			return found
		}
	}
	return nil
}

func isStore(t reflect.Type) bool {
	return slices.ContainsFunc(grantStorages, t.Implements)
}

// containsOurStore reports whether v is the Store of these sessions, a Wrapped store, or a store that
// contains one of them. It descends only into stores: other fields may be written to concurrently.
func (s *Sessions) containsOurStore(v reflect.Value, depth int) bool {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() || depth > maxDepth || !isStore(v.Type()) {
		return false
	}
	switch v.Type() {
	case reflect.TypeFor[*Wrapped]():
		return true
	case reflect.TypeFor[*Store]():
		return v.Pointer() == reflect.ValueOf(s.store).Pointer()
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return false
	}
	for i := range v.NumField() {
		f := v.Field(i)
		if (f.Kind() == reflect.Interface || isStore(f.Type())) && s.containsOurStore(f, depth+1) {
			return true
		}
	}
	return false
}
