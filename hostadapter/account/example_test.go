package account_test

import (
	"net/http"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/account"
)

// Users find their sessions at /account/sessions/.
func Example() {
	var sm *hostadapter.Adapter // as the server has it
	mySessions, err := account.New(account.Config{
		Sessions: sm,
		SignIn:   http.RedirectHandler("/login", http.StatusSeeOther),
	})
	if err != nil {
		return
	}
	router := http.NewServeMux()
	router.Handle("/account/sessions/", mySessions)
}
