package hostadapter_test

import (
	"context"
	"crypto"
	"fmt"
	"html"
	"net/http"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
)

// A server without fosite: the adapter alone signs users in and out.
func Example() {
	var (
		backend sessions.Backend // plugin.Open
		secret  []byte           // 32 random bytes from the server's configuration
		key     crypto.Signer    // what signs ID tokens
	)
	serve := func(ctx context.Context) error {
		sessions, err := hostadapter.New(ctx, hostadapter.Config{
			Backend: backend,
			Issuer:  "https://op.example",
			Keys:    [][]byte{secret},
			Signer: hostadapter.NewSigner(func(context.Context) (hostadapter.SigningKey, error) {
				return hostadapter.SigningKey{Key: key, KeyID: "2026-01"}, nil
			}),
			Clients: logout.ClientMap{"shop": {BackChannelLogoutURI: "https://shop.example/logout"}},
		})
		if err != nil {
			return err
		}
		defer sessions.Close()

		routes := http.NewServeMux()
		routes.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
			// after the password was found right
			if _, err := sessions.SignIn(w, r,
				hostadapter.Identity{Subject: "42", DisplayName: "Ann"}); err != nil {
				http.Error(w, "cannot sign in just now", http.StatusServiceUnavailable)
			}
		})
		routes.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
			session, err := sessions.Session(r)
			switch {
			case err != nil:
				http.Error(w, "cannot tell who you are just now", http.StatusServiceUnavailable)
			case session == nil:
				http.Redirect(w, r, "/login", http.StatusSeeOther)
			default:
				fmt.Fprintf(w, "Hello, %s", html.EscapeString(session.DisplayName))
			}
		})
		routes.Handle("/logout", sessions.EndSession())
		return http.ListenAndServe("localhost:9000", sessions.Middleware(routes))
	}
	_ = serve
}

// An operator ends all sessions of a user: tokens and consents go, clients are notified.
func ExampleAdapter_RemoveSessions() {
	remove := func(ctx context.Context, sessions *hostadapter.Adapter) error {
		result, err := sessions.RemoveSessions(ctx,
			hostadapter.SessionRemoval{SubjectID: "42", Reason: "lost laptop"})
		if err != nil {
			return err
		}
		fmt.Println(result.SessionsRemoved, "sessions ended")
		return nil
	}
	_ = remove
}

// Before the consent page and after it.
func ExampleConsents() {
	askConsent := func(ctx context.Context, sessions *hostadapter.Adapter, subject, clientID string,
		scopes []string) error {
		consents := sessions.Consents()
		given, err := consents.Given(ctx, subject, clientID, scopes)
		if err != nil || given {
			return err // given: no page
		}
		// The page. The user says yes and ticks "for 30 days":
		return consents.Remember(ctx, subject, clientID, scopes, 30*24*time.Hour)
	}
	_ = askConsent
}
