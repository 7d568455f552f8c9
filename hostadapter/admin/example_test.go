package admin_test

import (
	"crypto/subtle"
	"net/http"
	"os"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
)

// Routes below /admin. A request with the operator's token may do everything.
func ExampleHandler() {
	token := os.Getenv("ADMIN_TOKEN")
	authorize := func(r *http.Request, _ admin.Permission) (admin.Actor, error) {
		given := []byte(r.Header.Get("Authorization"))
		if token == "" || subtle.ConstantTimeCompare(given, []byte("Bearer "+token)) != 1 {
			return admin.Actor{}, admin.ErrUnauthenticated
		}
		return admin.Actor{Name: "operator"}, nil
	}
	serve := func(routes *http.ServeMux, adapter *hostadapter.Adapter) {
		config := admin.Config{Operations: adapter.Operations(), Authorize: authorize}
		routes.Handle("/admin/", http.StripPrefix("/admin", admin.Handler(config)))
	}
	_ = serve
}
