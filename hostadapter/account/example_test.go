package account_test

import (
	"net/http"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/account"
)

// Users see their sessions at /account/sessions/.
func Example() {
	serve := func(router *http.ServeMux, sm *hostadapter.Adapter) {
		router.Handle("/account/sessions/", account.Handler(account.Config{
			Sessions: sm,
			SignIn:   http.RedirectHandler("/login", http.StatusSeeOther),
		}))
	}
	_ = serve
}
