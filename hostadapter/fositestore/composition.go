package fositestore

// Which store the handlers of a composition keep their grants in.

import (
	"context"
	"fmt"
	"reflect"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"
)

// maxDepth bounds how deep a store is searched in a handler.
const maxDepth = 6

// keepsGrants are the interfaces of storages whose rows a session has to judge.
var keepsGrants = []reflect.Type{
	reflect.TypeFor[oauth2.AuthorizeCodeStorage](), reflect.TypeFor[oauth2.AccessTokenStorage](),
	reflect.TypeFor[oauth2.RefreshTokenStorage](),
	reflect.TypeFor[openid.OpenIDConnectRequestStorage](), reflect.TypeFor[pkce.PKCERequestStorage](),
}

// checkComposition returns an error that names the first of a provider's handlers that keeps grants in
// another store than Store, or one that Wrap returned: what a removal ends would live on there.
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
		if store := s.foreignIn(reflect.ValueOf(h), 0, map[uintptr]bool{}); store != nil {
			return fmt.Errorf("fositestore: handler %T keeps grants in a %s, where no end of a session "+
				"reaches them: compose it with Sessions.Store, "+
				"or, to keep that store, with Sessions.Wrap; a fosite.Config that was composed before "+
				"keeps the handlers of then", h, store)
		}
	}
	return nil
}

// foreignIn returns the type of the first store in v that keeps grants and is not ours, else nil.
func (s *Sessions) foreignIn(v reflect.Value, depth int, seen map[uintptr]bool) reflect.Type {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	// A configuration keeps no grants, and has caches that are written to while this looks.
	if !v.IsValid() || depth > maxDepth || v.Type().Implements(reflect.TypeFor[fosite.Configurator]()) {
		return nil
	}
	if depth > 0 && isStore(v.Type()) {
		if s.holdsOurs(v, 0) {
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
	for i := range v.NumField() {
		if store := s.foreignIn(v.Field(i), depth+1, seen); store != nil {
			return store
		}
	}
	return nil
}

func isStore(t reflect.Type) bool {
	for _, storage := range keepsGrants {
		if t.Implements(storage) {
			return true
		}
	}
	return false
}

// holdsOurs reports whether v is the Store of these sessions or one that they wrapped, or has it somewhere
// inside. It looks only into what is a store itself: other fields may be written to while it looks.
func (s *Sessions) holdsOurs(v reflect.Value, depth int) bool {
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
		if (f.Kind() == reflect.Interface || isStore(f.Type())) && s.holdsOurs(f, depth+1) {
			return true
		}
	}
	return false
}
