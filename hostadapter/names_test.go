package hostadapter_test

// Searches by display name.

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A search finds a name in any Unicode normalization form of either.
func TestSearchByNameInAnyComposition(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for _, name := range []string{"Zoe\u0308 A\u030angstro\u0308m", "Zo\u00eb \u00c5ngstr\u00f6m"} {
		session := h.browser().signIn(hostadapter.Identity{Subject: "zoe", DisplayName: name})
		if session.DisplayName != "Zo\u00eb \u00c5ngstr\u00f6m" {
			t.Errorf("name %+q, want NFC", session.DisplayName)
		}
		for _, part := range []string{"ZOE\u0308", "zo\u00eb", "\u212bngstro\u0308m"} {
			page, err := h.QuerySessions(t.Context(), ticketstore.SessionQuery{
				Filter: ticketstore.SessionFilter{DisplayName: part},
			})
			if err != nil || len(page.Sessions) != 1 {
				t.Errorf("search for %+q by %+q: %v, %v; want one match", name, part, page, err)
			}
		}
		if _, err := h.RemoveSessions(t.Context(), hostadapter.SessionRemoval{SubjectID: "zoe"}); err != nil {
			t.Fatal(err)
		}
	}
	// The limit applies to the stored name: normalization lengthens this one from 4 KiB to 6.
	long := hostadapter.Identity{Subject: "zoe", DisplayName: strings.Repeat("\u0958", ticketstore.MaxText/3)}
	_, err := h.SignIn(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), long)
	if err == nil || !strings.Contains(err.Error(), "display_name") {
		t.Errorf("a name that is too long after normalization: %v, want display_name refused", err)
	}
}
