package hostadapter_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// exchanging is a backend that gives each listed session the visible properties of the next session.
type exchanging struct{ sessions.Backend }

type exchangingTickets struct{ ticketstore.Store }

func (e exchanging) Tickets() ticketstore.Store { return exchangingTickets{e.Backend.Tickets()} }

func (e exchangingTickets) Query(
	ctx context.Context, query ticketstore.SessionQuery,
) (*ticketstore.Page, error) {
	page, err := e.Store.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	for i := range len(page.Sessions) - 1 {
		next := &page.Sessions[i+1]
		page.Sessions[i].Visible, next.Visible = next.Visible, page.Sessions[i].Visible
	}
	return page, nil
}

// shown returns the properties that operators see, by subject.
func shown(t *testing.T, h *host) map[string]map[string]string {
	t.Helper()
	page, err := h.Operations().QuerySessions(t.Context(), ticketstore.SessionQuery{})
	if err != nil {
		t.Fatal(err)
	}
	properties := map[string]map[string]string{}
	for i := range page.Sessions {
		s := &page.Sessions[i].Session
		properties[s.SubjectID] = h.Operations().SessionProperties(s)
	}
	return properties
}

func tenant(subject, name string) hostadapter.Identity {
	return hostadapter.Identity{
		Subject: subject, Properties: map[string]string{"tenant": name, "secret": "hidden", "plan": "free"},
	}
}

func TestOperatorsSeeVisibleProperties(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.VisibleProperties = []string{"tenant", "plan", "unset"} })
	ann := h.browser()
	ann.signIn(tenant("ann", "red"))
	h.browser().signIn(tenant("ben", "blue"))
	h.browser().signIn(hostadapter.Identity{Subject: "carl"})
	check := func(when string, want map[string]map[string]string) {
		t.Helper()
		if diff := cmp.Diff(want, shown(t, h)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	want := map[string]map[string]string{
		"ann": {"tenant": "red", "plan": "free"}, "ben": {"tenant": "blue", "plan": "free"}, "carl": nil,
	}
	check("after the sign-ins", want)
	ann.signIn(tenant("ann", "green")) // a step-up
	want["ann"]["tenant"] = "green"
	check("after a step-up", want)
	if s := ann.mustBe("ann"); s.Properties["secret"] != "hidden" || s.Properties["tenant"] != "green" {
		t.Errorf("the host sees %v, want every property", s.Properties)
	}
	h.config.VisibleProperties = []string{"plan"}
	h.start()
	check("after a property was removed from the configuration", map[string]map[string]string{
		"ann": {"plan": "free"}, "ben": {"plan": "free"}, "carl": nil,
	})
}

// TestRule13_VisiblePropertiesBelongToTheirSession: if a store returns them for a different session, they are
// not shown, and this is logged.
func TestRule13_VisiblePropertiesBelongToTheirSession(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) {
		c.VisibleProperties = []string{"tenant"}
		c.Backend = exchanging{c.Backend}
	})
	h.browser().signIn(tenant("ann", "red"))
	h.browser().signIn(tenant("ben", "blue"))
	want := map[string]map[string]string{"ann": nil, "ben": nil}
	if diff := cmp.Diff(want, shown(t, h)); diff != "" {
		t.Errorf("properties exchanged by the store (-want +got):\n%s", diff)
	}
	if log := h.log.String(); !strings.Contains(log, "visible properties") {
		t.Errorf("the log does not report that they cannot be opened:\n%s", log)
	}
}

func TestVisiblePropertiesAreBounded(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.VisibleProperties = []string{"tenant"} })
	_, err := h.browser().trySignIn(tenant("ann", strings.Repeat("x", ticketstore.MaxVisible)))
	var field *ticketstore.FieldError
	if !errors.As(err, &field) || field.Field != "properties" {
		t.Errorf("%v, want an error that names properties", err)
	}
	h.browser().signIn(hostadapter.Identity{
		Subject: "ann", Properties: map[string]string{"other": strings.Repeat("x", ticketstore.MaxVisible)},
	})
	h.config.VisibleProperties = []string{""}
	if _, err := hostadapter.New(t.Context(), h.config); err == nil ||
		!strings.Contains(err.Error(), "Config.VisibleProperties[0]") {
		t.Errorf("%v, want an error that names the field", err)
	}
}
