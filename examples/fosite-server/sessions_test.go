package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestSessionsFileIsShort(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("sessions.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(content), "\n"); lines >= 100 {
		t.Errorf("sessions.go has %d lines, want fewer than 100, because readers copy it", lines)
	}
}

// A user who is no longer in the file is signed out at the next use of the session.
func TestUserRemovedFromTheFile(t *testing.T) {
	t.Parallel()
	file := writeFile(t, `[{"username":"eve","password":"p","subject":"7","name":"Eve"}]`)
	s := startServer(t, "-users", file)
	b := newBrowser(t)
	b.expect(b.submit(b.get(s.provider.issuer+"/login"), "/login", "username", "eve", "password", "p"),
		http.StatusOK, "Hello, Eve")
	delete(s.provider.users.bySubject, "7")
	if page := b.get(s.provider.issuer + "/"); strings.Contains(page.body, "Hello") {
		t.Errorf("the page has the name of the user: %s", page.body)
	}
	found, err := s.provider.sessions.QuerySessions(t.Context(), ticketstore.SessionQuery{})
	if err != nil || len(found.Sessions) != 0 {
		t.Errorf("sessions %v, %v; want none", found, err)
	}
}
