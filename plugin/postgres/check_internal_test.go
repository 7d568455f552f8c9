package postgres

// A used store has no faults, and manual changes are found.

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fill signs users in, lets clients get and use tokens, and ends half of the sessions.
func fill(t *testing.T, e *Engine, sessions int) {
	t.Helper()
	for i := range sessions {
		sid := fmt.Sprintf("sid-%d", i)
		err := e.Tickets().Create(t.Context(), &ticketstore.Session{
			Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: fmt.Sprintf("user-%d", i%3),
			Issuer: "https://op.example", AuthTime: noon, Created: noon, Renewed: noon,
			Expires: noon.Add(time.Hour), Ticket: []byte("sealed"),
		})
		if err != nil {
			t.Fatal(err)
		}
		code := grantOf(sid, grantstore.AuthorizationCode)
		token := grantOf(sid, grantstore.RefreshToken)
		for j, b := range []grantstore.Batch{
			{Use: use(sid), Store: []grantstore.Grant{code}},
			{
				Use: use(sid), Consume: &grantstore.Consumption{Ref: code.Ref},
				Store: []grantstore.Grant{token},
			},
		} {
			b.OperationID = fmt.Sprintf("op-%d-%d", i, j)
			if _, err := e.Grants().Apply(t.Context(), &b, noon); err != nil {
				t.Fatal(err)
			}
		}
		if i%2 == 0 {
			continue
		}
		_, err = e.Logout().End(t.Context(), &logout.Ending{
			OperationID: "end-" + sid, SessionID: sid, Reason: logout.UserLogout, KeepTokens: true,
		}, noon)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func use(sid string) *grantstore.Use {
	return &grantstore.Use{SessionID: sid, ClientID: "photos", Notify: true}
}

func grantOf(sid string, typ grantstore.Type) grantstore.Grant {
	return grantstore.Grant{
		Ref:       grantstore.Ref{Type: typ, Key: ticketstore.KeyOf(string(typ) + sid)},
		RequestID: "request-" + sid, SubjectID: "ann", SessionID: sid, ClientID: "photos", Created: noon,
		Expires: noon.Add(time.Hour), Data: []byte("sealed"),
	}
}

func checked(t *testing.T, e *Engine, config CheckConfig) *Report {
	t.Helper()
	report, err := e.Check(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestCheckFindsChangedRows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ statement, finding string }{
		"nothing":               {"SELECT 1", ""},
		"a missing session":     {"DELETE FROM {s}.sessions", "session that does not exist"},
		"a client not listed":   {"UPDATE {s}.client_uses SET listed = 7", "not listed by the creation"},
		"a token without owner": {"DELETE FROM {s}.ended", "neither exists nor has left"},
		"live and ended":        {"UPDATE {s}.sessions SET sid = 'sid-1' WHERE sid = 'sid-0'", "is there"},
		"another family":        {"UPDATE {s}.grants SET due = 7", "a column due"},
		"another serial":        {"UPDATE {s}.grants SET serial = 'x'", "a column serial"},
		"due too late":          {"UPDATE {s}.sessions SET due = due + 1", "due too late"},
		"a malformed message":   {"UPDATE {s}.notices SET data = 'x'", "cannot be read"},
		"without a client":      {"UPDATE {s}.notices SET client = ''", "names no client"},
		"a wrong sum":           {"UPDATE {s}.used SET sum = sum + 1", "a column sum"},
		"a wrong count":         {"UPDATE {s}.slots SET counts[2] = 9", "say that there are"},
		"a changed row":         {"UPDATE {s}.sessions SET ticket = 'x'", "a sum that the rows do not have"},
		"a client's count":      {"UPDATE {s}.client_counts SET sessions = 9", "number of its sessions"},
		"without export":        {"INSERT INTO {s}.journal (kind, key) VALUES (1, 'x')", "is not exported"},
		"used and unused": {
			"INSERT INTO {s}.grants (key, type, created, data) SELECT key, type, 1, '' FROM {s}.used",
			"unused as well",
		},
		"in two partitions": {
			`INSERT INTO {s}.used (key, type, ring, due, sum, data)
				SELECT key, type, (ring + 1) % 4, due, sum, data FROM {s}.used`,
			"more than one partition",
		},
		"an echo alone":       {"DELETE FROM {s}.operations WHERE NOT echo", "there are"},
		"an overdue record":   {"UPDATE {s}.ended SET due = 7", "no host sweeps"},
		"a session's version": {"UPDATE {s}.sessions SET version = 0", "no beginning, end or version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t)
			fill(t, e, 4)
			if _, err := e.pool.Exec(t.Context(), e.sql(c.statement)); err != nil {
				t.Fatal(err)
			}
			report := checked(t, e, CheckConfig{Ages: true})
			if c.finding == "" && (len(report.Findings) > 0 || report.Records == 0) {
				t.Errorf("%+v", report)
			}
			text := fmt.Sprint(report.Findings)
			if !strings.Contains(text, c.finding) {
				t.Errorf("found %[2]s, want %[1]q", c.finding, text)
			}
			if strings.Contains(text, fmt.Sprintf("%x", ticketstore.KeyOf("sid-0"))) {
				t.Errorf("the findings contain a key: %s", text)
			}
		})
	}
}

// With the extension amcheck, an index that lacks rows of its table is found.
func TestCheckOfIndexes(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, name := server.Schema(t)
	e := openStore(t, Settings{DSN: dsn, Schema: name})
	fill(t, e, 4)
	server.Exec(t, "CREATE EXTENSION amcheck")
	if report := checked(t, e, CheckConfig{}); len(report.Findings) > 0 {
		t.Fatalf("%+v", report)
	}
	// The index lacks rows written while it is disabled.
	kept := "UPDATE pg_index SET indisready = %t WHERE indexrelid = '" + name + ".sessions_created'::regclass"
	server.Exec(t, fmt.Sprintf(kept, false),
		schema.Qualify(name, "UPDATE {s}.sessions SET created = created + 1"), fmt.Sprintf(kept, true))
	if report := checked(t, e, CheckConfig{}); !strings.Contains(
		fmt.Sprint(report.Findings),
		"sessions_created",
	) {
		t.Errorf("%+v", report)
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	e := openStore(t, Settings{DSN: dsn, Schema: name})
	fill(t, e, 4)
	s, err := e.Stats(t.Context())
	if err != nil || s.Records["sessions"] != 2 || s.Records["ended"] != 2 || s.Deliveries["pending"] != 2 ||
		len(s.Hosts) != 1 || s.Bytes["sessions"] == 0 || s.Bytes["used"] == 0 || s.Bytes["used_0"] != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}
