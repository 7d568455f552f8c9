package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const notificationJSON = `{"id":"n1","state":"pending","client_id":"shop","subject_id":"ann",
		"session_id":"s1","issuer":"https://op.example",
	"reason":"terminated","attempts":2,"queued":"2026-03-01T12:00:00Z","next_attempt":"2026-03-01T12:01:00Z",
	"give_up_at":"2026-03-02T12:00:00Z","last_attempt":"2026-03-01T12:00:00Z",
		"last_error":"the client answered 500"}`

func TestDeliveries(t *testing.T) {
	t.Parallel()
	m := &manager{}
	mustBe(t,
		serve(m,
			request(http.MethodGet,
				"/logout/deliveries?state=pending&client_id=shop&session_id=s1&order=desc", "")),
		`{"results":[`+notificationJSON+
			`],"results_token":"t","has_prev_results":false,"has_next_results":false}`)
	want := &logout.NotificationQuery{
		Filter: logout.NotificationFilter{State: logout.Pending, ClientID: "shop", SessionID: "s1"},
		Order:  ticketstore.Descending,
	}
	if diff := cmp.Diff(want, m.delivery); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	for _, body := range []string{"", "{}"} {
		mustBe(t, serve(m, request(http.MethodPost, "/logout/deliveries/n1/retry", body)), notificationJSON)
	}
}

func TestGrants(t *testing.T) {
	t.Parallel()
	m := &manager{}
	response := serve(m,
		request(http.MethodGet,
			"/grants?subject_id=ann&session_id=s1&client_id=shop&type=refresh_token&order=asc&"+
				"count_requested=1", ""))
	mustBe(t, response, `{"results":[{"id":"id-of-a-refresh_token","type":"refresh_token",
		"subject_id":"ann","session_id":"s1","client_id":"shop","request_id":"r1",
		"created":"2026-03-01T12:00:00Z","expires":"2026-03-01T13:00:00Z","offline":true}],
		"results_token":"t","has_prev_results":false,
		"has_next_results":true}`)
	want := &grantstore.Query{
		Filter: grantstore.Filter{
			SubjectID: "ann", SessionID: "s1", ClientID: "shop", Type: grantstore.RefreshToken,
		},
		Order: ticketstore.Ascending, Count: 1,
	}
	if diff := cmp.Diff(want, m.grants); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	links := []string{`<?count_requested=1&results_token=t>; rel="next"`}
	if diff := cmp.Diff(links, response.Header.Values("Link")); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	mustBe(t, serve(m, request(http.MethodPost, "/grants/remove",
		`{"subject_id":"ann","session_id":"s1","client_id":"shop","type":"user_consent",`+
			`"reason":"asked for"}`)),
		`{"grants_revoked":2,"consents_revoked":1}`)
	removal := &hostadapter.GrantRemoval{
		Filter: grantstore.Filter{
			SubjectID: "ann", SessionID: "s1", ClientID: "shop", Type: grantstore.UserConsent,
		}, Reason: "asked for",
	}
	if diff := cmp.Diff(removal, m.revoked); diff != "" {
		t.Errorf("removal (-want +got):\n%s", diff)
	}
	mustBe(t, serve(m, request(http.MethodPost, "/grants/remove", `{"id":"ID","dry_run":true}`)),
		`{"grants_revoked":2,"consents_revoked":1}`)
	if diff := cmp.Diff(&hostadapter.GrantRemoval{ID: "ID", DryRun: true}, m.revoked); diff != "" {
		t.Errorf("removal of one (-want +got):\n%s", diff)
	}
	for _, want := range []string{
		"grant_id=ID", `client_id="its client"`, "dry_run=true",
		"action=remove_grants", "subject_id=ann", "type=user_consent", `reason="asked for"`,
		"grants_revoked=2",
	} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("audit %q lacks %s", m.log.String(), want)
		}
	}
}

// The outcome of a job whose host was killed is reported as unknown.
func TestJobOfAHostThatWasKilled(t *testing.T) {
	t.Parallel()
	m := &manager{left: &hostadapter.JobEnd{
		ID: "j9", Note: []byte(`{"r":"request","a":"swap_backend","i":"ann"}`),
	}}
	serve(m, request(http.MethodGet, "/sessions", ""))
	for _, want := range []string{
		"level=WARN", "request_id=request", "action=swap_backend", "result=unknown", "actor_id=ann", "job=j9",
	} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("audit %q lacks %s", m.log.String(), want)
		}
	}
}

func TestRetryDeliveries(t *testing.T) {
	t.Parallel()
	m := &manager{}
	mustBe(t,
		serve(m,
			request(http.MethodPost, "/logout/deliveries/retry",
				`{"state":"given_up","client_id":"shop","session_id":"s1"}`)),
		`{"notifications_queued":3}`)
	want := &logout.NotificationFilter{State: logout.GivenUp, ClientID: "shop", SessionID: "s1"}
	if diff := cmp.Diff(want, m.selected); diff != "" {
		t.Errorf("filter (-want +got):\n%s", diff)
	}
	for _, want := range []string{
		"action=retry_deliveries", "state=given_up", "client_id=shop", "notifications_queued=3",
	} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("audit %q lacks %s", m.log.String(), want)
		}
	}
}
