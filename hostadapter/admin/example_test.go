package admin_test

import (
	"crypto/subtle"
	"net/http"
	"os"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
)

// A request with the operator's token may do everything, under /admin.
func ExampleMount() {
	token := os.Getenv("ADMIN_TOKEN")
	authorize := func(r *http.Request, _ admin.Permission) (admin.Actor, error) {
		given := []byte(r.Header.Get("Authorization"))
		if token == "" || subtle.ConstantTimeCompare(given, []byte("Bearer "+token)) != 1 {
			return admin.Actor{}, admin.ErrUnauthenticated
		}
		return admin.Actor{Name: "operator"}, nil
	}
	mount := func(router *mux.Router, sessions *hostadapter.Adapter) {
		admin.Mount(router.PathPrefix("/admin").Subrouter(), sessions, authorize)
	}
	_ = mount
}
