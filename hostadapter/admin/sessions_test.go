package admin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestQuerySessions(t *testing.T) {
	t.Parallel()
	m := &manager{page: ticketstore.Page{
		Sessions: []ticketstore.SessionDetail{detail}, ResultsToken: "tok", HasPrev: true, HasNext: true,
		TotalCount: 3, TotalPages: 2, CurrentPage: -1,
	}}
	response := serve(m,
		request(http.MethodGet,
			"/sessions?subject_id=ann&session_id=s1&client_id=shop&display_name=A&order=asc"+
				"&count_requested=2"+
				"&created_after=2026-01-01T00:00:00Z&created_before=2026-01-02T00:00:00%2B01:00&"+
				"expires_after=2026-01-03T00:00:00Z"+
				"&expires_before=2026-01-04T00:00:00Z&results_token=", ""))
	day := func(d, h int) time.Time { return time.Date(2026, 1, d, h, 0, 0, 0, time.UTC) }
	want := &ticketstore.SessionQuery{
		Filter: ticketstore.SessionFilter{
			SubjectID: "ann", SessionID: "s1", ClientID: "shop", DisplayName: "A",
			CreatedFrom: day(1, 0), CreatedBefore: day(1, 23), ExpiresFrom: day(3, 0),
			ExpiresBefore: day(4, 0),
		},
		Order: ticketstore.Ascending, Count: 2,
	}
	if diff := cmp.Diff(want, m.query); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	mustBe(t, response, `{"results":[{"subject_id":"ann","session_id":"s1","display_name":"Ann",
		"created":"2026-03-01T12:00:00Z",
		"renewed":"2026-03-01T12:00:00Z","expires":"2026-03-01T13:00:00Z","issuer":"https://op.example",
		"auth_time":"2026-03-01T12:00:00Z",
		"acr":"1","amr":["pwd"],"remote_addr":"192.0.2.1","user_agent":"curl","client_ids":["shop"]}],
		"results_token":"tok","has_prev_results":true,"has_next_results":true,"total_count":3,
		"total_pages":2}`)
	links := []string{
		`<?count_requested=2&results_token=tok>; rel="next"`,
		`<?count_requested=2&request_prior_results=true&results_token=tok>; rel="prev"`,
	}
	if diff := cmp.Diff(links, response.Header.Values("Link")); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	mustBe(t, serve(&manager{}, request(http.MethodGet, "/sessions", "")),
		`{"results":[],"has_prev_results":false,"has_next_results":false,"total_count":0,"total_pages":0,`+
			`"current_page":0}`)
}

// Operators see the visible properties, in JSON and on the page.
func TestSessionProperties(t *testing.T) {
	t.Parallel()
	shown := detail
	shown.Visible = []byte("a & b")
	m := &manager{
		page:   ticketstore.Page{Sessions: []ticketstore.SessionDetail{shown, detail}},
		report: hostadapter.SessionReport{SessionDetail: shown},
	}
	for path, want := range map[string]string{
		"/sessions":                 `"properties":{"\u003cb\u003e":"","tenant":"a \u0026 b"}`,
		"/sessions/s1":              `"properties":{"\u003cb\u003e":"","tenant":"a \u0026 b"}`,
		"/ui/session?session_id=s1": "<dt><bdi>tenant</bdi></dt><dd><bdi>a &amp; b</bdi></dd>",
	} {
		body, err := io.ReadAll(serve(m, request(http.MethodGet, path, "")).Body)
		if err != nil || strings.Count(string(body), want) != 1 {
			t.Errorf("%s: %s, %v; want %s once", path, body, err, want)
		}
	}
}

func TestGetSession(t *testing.T) {
	t.Parallel()
	m := &manager{report: hostadapter.SessionReport{
		SessionDetail: detail, Grants: map[grantstore.Type]int{grantstore.RefreshToken: 2},
		GrantsCounted: true,
	}}
	mustBe(t, serve(m, request(http.MethodGet, "/sessions/s1", "")), `{"subject_id":"ann","session_id":"s1",
		"display_name":"Ann",
		"created":"2026-03-01T12:00:00Z","renewed":"2026-03-01T12:00:00Z","expires":"2026-03-01T13:00:00Z",
		"issuer":"https://op.example",
		"auth_time":"2026-03-01T12:00:00Z","acr":"1","amr":["pwd"],"remote_addr":"192.0.2.1",
		"user_agent":"curl","client_ids":["shop"],
		"clients":[{"client_id":"shop","first_used":"2026-03-01T12:00:00Z","last_used":"2026-03-01T12:00:00Z",
		"notify":true,"coordinated":false}],
		"grants":{"refresh_token":2},"grants_complete":true}`)
}

func TestIDsInPaths(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"s1", "a b", "a/b", "a%2Fb", "remove me", "ü", "a?b#c", "retry"} {
		for _, encoded := range []bool{false, true} {
			for target, method := range map[string]string{
				"/sessions/" + url.PathEscape(id):                     http.MethodGet,
				"/logout/deliveries/" + url.PathEscape(id) + "/retry": http.MethodPost,
			} {
				m := &manager{report: hostadapter.SessionReport{SessionDetail: detail}}
				router, config := mux.NewRouter(), admin.Config{Operations: m, Authorize: authorize}
				if encoded {
					router.UseEncodedPath()
				}
				admin.MountConfig(router.PathPrefix("/admin").Subrouter(), config)
				w := httptest.NewRecorder()
				router.ServeHTTP(w, request(method, target, ""))
				if answer := serve(m, request(method, target, "")); answer.StatusCode != http.StatusOK ||
					m.id != id {
					t.Errorf("%s from Handler: status %d, id %q; want %q", target, answer.StatusCode, m.id,
						id)
				}
				if w.Code != http.StatusOK || m.id != id {
					t.Errorf("%s (encoded path %t): status %d, id %q; want %q", target, encoded, w.Code, m.id,
						id)
				}
			}
		}
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	tests := []struct {
		body string
		want hostadapter.SessionRemoval
	}{
		{`{"subject_id":"ann"}`, hostadapter.SessionRemoval{SubjectID: "ann"}},
		{`{"session_id":"s1","reason":"left"}`, hostadapter.SessionRemoval{SessionID: "s1", Reason: "left"}},
		{`{"subject_id":"ann","client_ids":["shop"],"dry_run":true}`,
			hostadapter.SessionRemoval{SubjectID: "ann", ClientIDs: []string{"shop"}, DryRun: true}},
		{
			`{"subject_id":"ann","remove_server_side_session":false,"all":false}`,
			hostadapter.SessionRemoval{SubjectID: "ann", KeepSession: true},
		},
		{
			`{"subject_id":"ann","send_backchannel_logout_notification":false}`,
			hostadapter.SessionRemoval{SubjectID: "ann", SkipNotification: true},
		},
		{
			`{"subject_id":"ann","revoke_tokens":false}`,
			hostadapter.SessionRemoval{SubjectID: "ann", KeepTokens: true},
		},
		{
			`{"subject_id":"ann","revoke_consents":false}`,
			hostadapter.SessionRemoval{SubjectID: "ann", KeepConsents: true},
		},
		{`{"subject_id":"ann","revoke_consents":true,"revoke_tokens":true,"remove_server_side_session":true,
			"send_backchannel_logout_notification":true}`, hostadapter.SessionRemoval{SubjectID: "ann"}},
	}
	for _, test := range tests {
		m := &manager{
			result: logout.Result{
				SessionsRemoved: 1, GrantsRevoked: 2, ConsentsRevoked: 3, NotificationsQueued: 4,
			},
		}
		r := request(http.MethodPost, "/sessions/remove", test.body)
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		mustBe(t, serve(m, r),
			`{"sessions_removed":1,"grants_revoked":2,"consents_revoked":3,"notifications_queued":4,`+
				`"clients_left_alone":[]}`)
		if diff := cmp.Diff(&test.want, m.removal); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.body, diff)
		}
	}
}

func TestRemoveNothing(t *testing.T) {
	t.Parallel()
	m := &manager{result: logout.Result{ClientsLeftAlone: []string{"mail"}}}
	mustBe(t, serve(m, request(http.MethodPost, "/sessions/remove", `{"subject_id":"nobody"}`)),
		`{"sessions_removed":0,"grants_revoked":0,"consents_revoked":0,"notifications_queued":0,`+
			`"clients_left_alone":["mail"]}`)
	mustFail(t, serve(m, request(http.MethodDelete, "/sessions/nobody", "")), http.StatusNotFound, "")
}

func TestDelete(t *testing.T) {
	t.Parallel()
	m := &manager{result: logout.Result{SessionsRemoved: 1, NotificationsQueued: 2}}
	mustBe(t, serve(m, request(http.MethodDelete, "/sessions/s1", "")),
		`{"sessions_removed":1,"grants_revoked":0,"consents_revoked":0,"notifications_queued":2,`+
			`"clients_left_alone":[]}`)
	if diff := cmp.Diff(&hostadapter.SessionRemoval{SessionID: "s1"}, m.removal); diff != "" {
		t.Errorf("removal (-want +got):\n%s", diff)
	}
}

func TestRemoveAll(t *testing.T) {
	t.Parallel()
	m := &manager{result: logout.Result{JobID: "j 1"}}
	response := serve(m,
		request(http.MethodPost, "/sessions/remove", `{"all":true,"client_ids":["shop"],"reason":"drill"}`))
	raw, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusAccepted || strings.TrimSpace(string(raw)) != `{"job":"j 1"}` {
		t.Errorf("answer %d %s, want 202 and the job", response.StatusCode, raw)
	}
	if got := response.Header.Get("Location"); got != "../jobs/j%201" {
		t.Errorf("Location %q, want ../jobs/j%%201", got)
	}
	if diff := cmp.Diff(&hostadapter.SessionRemoval{All: true, ClientIDs: []string{"shop"}, Reason: "drill"},
		m.removal); diff != "" {
		t.Errorf("removal (-want +got):\n%s", diff)
	}
	for _, want := range []string{"all=true", `job="j 1"`, "status=202", "reason=drill"} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("audit %q lacks %s", m.log.String(), want)
		}
	}
	mustFail(t,
		serve(&manager{err: logout.ErrBusy}, request(http.MethodPost, "/sessions/remove", `{"all":true}`)),
		http.StatusConflict, "")
}
