package contract_test

// The Go client on a real host: each call is checked against the contract.

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// actor sets the actor of requests.
type actor struct {
	name string
	next http.RoundTripper
}

func (a actor) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Actor", a.name)
	return a.next.RoundTrip(r)
}

func (s *site) goClient(name string) *client.Client {
	s.t.Helper()
	c, err := client.New(client.Config{
		URL: s.url, HTTP: &http.Client{Transport: actor{name, s.client.Transport}},
		PollEvery: time.Millisecond,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestClientListsAndEndsSessions(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	c := s.goClient("writer")
	var want, got []string
	for range 7 {
		want = append(want, s.signIn("ann", "shop"))
	}
	s.signIn("bob", "mail")
	query := client.SessionQuery{
		SubjectID: "ann", DisplayName: "USER", ClientID: "shop", CreatedFrom: time.Now().Add(-time.Hour),
		CreatedBefore: time.Now().Add(time.Hour), ExpiresFrom: time.Now(),
		ExpiresBefore: time.Now().Add(24 * time.Hour),
		Paging:        client.Paging{Order: client.Ascending, Count: 2},
	}
	for session, err := range c.Sessions(ctx, query) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, session.SessionID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the iterator gave %v, want %v", got, want)
	}
	page, err := c.SessionPage(ctx, client.SessionQuery{SubjectID: "ann", Paging: client.Paging{Count: 3}})
	if err != nil || len(page.Results) != 3 || page.TotalCount == nil || *page.TotalCount != 7 {
		t.Fatalf("page %+v, error %v; want 3 of 7", page, err)
	}
	report, err := c.Session(ctx, want[0])
	if err != nil || report.SubjectID != "ann" || len(report.Clients) != 1 ||
		report.Grants["refresh_token"] != 1 {
		t.Errorf("session %+v, error %v", report, err)
	}
	removed, job, err := c.RemoveSessions(ctx, client.Removal{
		SubjectID: "ann", SessionID: want[0], ClientIDs: []string{"shop"}, Reason: "test", DryRun: true,
	})
	if err != nil || job != "" || removed.SessionsRemoved != 1 || removed.GrantsRevoked != 1 {
		t.Errorf("dry run %+v, job %q, error %v", removed, job, err)
	}
	if removed, err := c.DeleteSession(ctx, want[0]); err != nil || removed.SessionsRemoved != 1 {
		t.Errorf("removed %+v, error %v", removed, err)
	}
	if _, err := c.DeleteSession(ctx, "unknown"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
	_, _, err = c.RemoveSessions(ctx, client.Removal{SubjectID: "ann", ClientIDs: []string{}})
	if !errors.Is(err, client.ErrInvalid) {
		t.Errorf("an empty list of clients: error %v, want ErrInvalid", err)
	}
	_, _, err = s.goClient("reader").RemoveSessions(ctx, client.Removal{All: true})
	if !errors.Is(err, client.ErrForbidden) {
		t.Errorf("a reader's removal: error %v, want ErrForbidden", err)
	}
	s.clientFinishes(ctx, c)
}

// clientFinishes removes all remaining sessions and watches the job.
func (s *site) clientFinishes(ctx context.Context, c *client.Client) {
	s.t.Helper()
	_, job, err := c.RemoveSessions(ctx, client.Removal{All: true, SkipNotification: true})
	if err != nil || job == "" {
		s.t.Fatalf("job %q, error %v; want a job", job, err)
	}
	var last *client.Job
	for job, err := range c.Watch(ctx, job) {
		if err != nil {
			s.t.Fatal(err)
		}
		last = job
	}
	if last.State != "done" || last.Result == nil || last.Result.SessionsRemoved != 7 || last.Total == nil {
		s.t.Errorf("the job ended as %+v, want it done with 7 sessions", last)
	}
}

func TestClientHandlesGrantsAndDeliveries(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	c := s.goClient("writer")
	sid := s.signIn("ann", "shop")
	filter := client.GrantFilter{SubjectID: "ann", ClientID: "shop"}
	kinds := map[string]int{}
	for grant, err := range c.Grants(ctx, client.GrantQuery{GrantFilter: filter}) {
		if err != nil {
			t.Fatal(err)
		}
		kinds[grant.Type]++
	}
	page, err := c.GrantPage(ctx, client.GrantQuery{GrantFilter: client.GrantFilter{SessionID: sid}})
	if err != nil || len(page.Results) != 1 || kinds["user_consent"] != 1 || kinds["refresh_token"] != 1 {
		t.Errorf("grants %v, page %+v, error %v", kinds, page, err)
	}
	filter.Type = "user_consent"
	for _, removal := range []client.GrantRemoval{
		{GrantFilter: filter, Reason: "test", DryRun: true}, {GrantFilter: filter, Reason: "test"},
	} {
		removed, err := c.RemoveGrants(ctx, removal)
		if err != nil || removed.ConsentsRevoked != 1 || removed.GrantsRevoked != 0 {
			t.Errorf("removed %+v, error %v", removed, err)
		}
	}
	one := client.GrantRemoval{ID: page.Results[0].ID}
	if removed, err := c.RemoveGrants(ctx, one); err != nil || removed.GrantsRevoked != 1 {
		t.Errorf("removed one: %+v, error %v", removed, err)
	}
	one.ID += "A"
	if _, err := c.RemoveGrants(ctx, one); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("an id that was changed: %v, want ErrInvalid", err)
	}
	if _, err := c.DeleteSession(ctx, sid); err != nil {
		t.Fatal(err)
	}
	refused := client.DeliveryFilter{State: "refused", ClientID: "shop", SessionID: sid}
	var id string
	testenv.Eventually(t, "the client has refused", func() bool {
		for delivery, err := range c.Deliveries(ctx, client.DeliveryQuery{DeliveryFilter: refused}) {
			if err != nil {
				t.Fatal(err)
			}
			id = delivery.ID
		}
		return id != ""
	})
	if delivery, err := c.RetryDelivery(ctx, id); err != nil || delivery.State != "pending" {
		t.Errorf("delivery %+v, error %v", delivery, err)
	}
	testenv.Eventually(t, "the client has refused again", func() bool {
		page, err := c.DeliveryPage(ctx, client.DeliveryQuery{DeliveryFilter: refused})
		return err == nil && len(page.Results) == 1
	})
	if n, err := c.RetryDeliveries(ctx, refused); err != nil || n != 1 {
		t.Errorf("%d queued, error %v; want 1", n, err)
	}
}

func TestClientMovesAndBacksUp(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t), t.Context()
	c := s.goClient("writer")
	s.signIn("ann", "shop")
	backend, err := c.Backend(ctx)
	if err != nil || backend.Status != "ready" || backend.Sessions == nil || *backend.Sessions != 1 {
		t.Errorf("backend %+v, error %v", backend, err)
	}
	var file bytes.Buffer
	if size, err := c.Backup(ctx, &file); err != nil || size != int64(file.Len()) || size == 0 {
		t.Errorf("backup of %d bytes, error %v", size, err)
	}
	slow, err := c.SwapBackend(ctx, "slow", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SwapBackend(ctx, "next", false); !errors.Is(err, client.ErrConflict) {
		t.Errorf("a second swap: error %v, want ErrConflict", err)
	}
	if err := c.AbortSwap(ctx, slow); err != nil {
		t.Error(err)
	}
	for job, err := range c.Watch(ctx, slow) {
		if err != nil || !job.Running() && job.State != "failed" {
			t.Errorf("job %+v, error %v", job, err)
		}
	}
	next, err := c.SwapBackend(ctx, "next", false)
	if err != nil {
		t.Fatal(err)
	}
	var last *client.Job
	for job, err := range c.Watch(ctx, next) {
		if err != nil {
			t.Fatal(err)
		}
		last = job
	}
	if last.State != "done" || last.Swap == nil || last.Swap.To != "next" {
		t.Errorf("the swap ended as %+v", last)
	}
}
