package postgres

// The server's plans for the engine's statements.

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Plans find rows by an index, one by one. Parallel workers take longer to start than reading a page, and a
// plan that joins a whole table is kept when the table has grown. In this server workers cost nothing, as
// they seem to with a million sessions.
func TestPlansFollowIndexes(t *testing.T) {
	t.Parallel()
	t.Run("directly", func(t *testing.T) { t.Parallel(); plansFollowIndexes(t, false) })
	t.Run("behind a pooler", func(t *testing.T) { t.Parallel(); plansFollowIndexes(t, true) })
}

func plansFollowIndexes(t *testing.T, pooled bool) {
	t.Helper()
	server := pgserver.Start(t, "parallel_setup_cost=0", "parallel_tuple_cost=0",
		"min_parallel_table_scan_size=0", "min_parallel_index_scan_size=0",
		"session_preload_libraries=auto_explain", "auto_explain.log_min_duration=0")
	dsn, schema := server.Schema(t)
	settings := Settings{DSN: dsn, Schema: schema}
	if pooled {
		mustOpen(t, settings) // creates the tables
		settings.DSN, settings.Pooler = server.Pooler(t), true
	}
	e := openHost(t, settings)
	ctx, l := t.Context(), &tokenFamily{}
	for i := range 50 {
		l = &tokenFamily{name: fmt.Sprint(i)}
		if err := l.signIn(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"sessions", "client_uses", "grants", "used", "operations"} {
		server.Exec(t, fmt.Sprintf("ANALYZE %s.%s", schema, table))
	}
	page := func(filter ticketstore.SessionFilter) func() error {
		return func() error {
			page, err := e.Tickets().Query(ctx, ticketstore.SessionQuery{Filter: filter})
			if err == nil && len(page.Sessions) == 0 {
				err = ticketstore.ErrNotFound
			}
			return err
		}
	}
	begun := len(server.Log())
	for _, c := range []struct {
		index string
		do    func() error
	}{
		{"sessions_created", page(ticketstore.SessionFilter{})},
		{"sessions_subject", page(ticketstore.SessionFilter{SubjectID: "ann"})},
		{"client_uses_client", page(ticketstore.SessionFilter{ClientID: "app"})},
		{"grants_family", func() error { return l.exchange(ctx, e) }},
		{"grants_pkey", func() error {
			_, err := e.Grants().Get(ctx, l.access(1).Ref, base)
			return err
		}},
	} {
		before := len(server.Log())
		if err := c.do(); err != nil {
			t.Fatalf("a query by %s: %v", c.index, err)
		}
		testenv.Eventually(t, "a plan by "+c.index, func() bool {
			return strings.Contains(server.Log()[before:], c.index)
		})
	}
	wrong := regexp.MustCompile(`.*(Gather|(Hash|Merge)[A-Za-z ]* Join|` +
		`Seq Scan on (sessions|client_uses|grants|used|operations)).*`)
	if found := wrong.FindAllString(server.Log()[begun:], -1); len(found) > 0 {
		t.Errorf("plans with %q:\n%s", found, server.Log()[begun:])
	}
}

// Only codes and refresh tokens are looked up in the five partitions of used grants.
func TestLookupsOfUsedGrants(t *testing.T) {
	t.Parallel()
	for kind, want := range map[grantstore.Type]bool{
		grantstore.ReferenceToken: false, grantstore.RefreshToken: true, grantstore.AuthorizationCode: true,
		grantstore.UserConsent: false,
	} {
		ref := grantstore.Ref{Type: kind, Key: ticketstore.KeyOf("a key")}
		p := &plan{}
		p.grant(ref)
		for reads, queries := range map[string][]query{
			"a plan": p.queries(), "a key": byKeys(transfer.Grants, []string{string(records.RefBytes(ref))}),
		} {
			got := slices.ContainsFunc(queries, func(q query) bool {
				return q.table == usedTable || strings.Contains(q.where, "{s}.used")
			})
			if got != want {
				t.Errorf("%s of %s reads used grants: %t, want %t", reads, kind, got, want)
			}
		}
	}
}

// The plans of an exchange, and of the revocation of a family, read all tokens of the family.
func TestPlansReadFamilies(t *testing.T) {
	t.Parallel()
	e, l := openEngine(t), &tokenFamily{name: "l"}
	if err := l.signIn(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	exchange := &plan{}
	exchange.exchange(l.token(0).Ref, l.token(0).SessionID)
	for name, p := range map[string]*plan{
		"an exchange": exchange, "a revocation": {families: []string{l.token(0).RequestID}},
	} {
		read, err := view(t.Context(), e, base, nil, func(t *tx) (int, error) {
			t.read(p.queries()...)
			return len(t.grants), nil
		})
		if err != nil || read != 2 {
			t.Errorf("%s reads %d tokens, %v, want the refresh token and the access token", name, read, err)
		}
	}
}
