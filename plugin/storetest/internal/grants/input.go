package grants

// Invalid input of a grant store.

import (
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// badIDs are invalid ids.
var badIDs = []struct{ name, id string }{
	{"with a NUL", "a\x00b"},
	{"of 10 kB", strings.Repeat("0123456789", 1024)},
	{"one byte too long", strings.Repeat("x", ticketstore.MaxID+1)},
	{"not UTF-8", "a\xffb"},
}

// grantIDs are the ids of a grant, each of which may be empty.
var grantIDs = map[string]func(g *grantstore.Grant) *string{
	"request_id": func(g *grantstore.Grant) *string { return &g.RequestID },
	"subject_id": func(g *grantstore.Grant) *string { return &g.SubjectID },
	"session_id": func(g *grantstore.Grant) *string { return &g.SessionID },
	"client_id":  func(g *grantstore.Grant) *string { return &g.ClientID },
}

var inputCases = []world.Case{
	{Name: "the refusal of a bad grant names the field, and nothing is stored", Run: func(w *world.World) {
		refuse := func(name, field string, spoil func(g *grantstore.Grant)) {
			w.Helper()
			first, bad := w.Refresh(nil, "mail", world.Of("ann")), w.Refresh(nil, "mail", world.Of("ann"))
			spoil(&bad)
			_, err := w.TryApply(grantstore.Batch{Store: []grantstore.Grant{first, bad}})
			w.Refuses(err, field, "Apply with "+name)
			w.Missing(first)
		}
		for field, of := range grantIDs {
			for _, bad := range badIDs {
				refuse(field+" "+bad.name, field, func(g *grantstore.Grant) { *of(g) = bad.id })
			}
		}
		refuse("description not UTF-8", "description", func(g *grantstore.Grant) { g.Description = "a\xff" })
		refuse("description of 10 kB", "description",
			func(g *grantstore.Grant) { g.Description = badIDs[1].id })
		refuse("data too large", "data",
			func(g *grantstore.Grant) { g.Data = make([]byte, grantstore.MaxData+1) })
		refuse("no type", "type", func(g *grantstore.Grant) { g.Type = "" })
		refuse("an unknown type", "type", func(g *grantstore.Grant) { g.Type = "device_code" })
		refuse("the zero key", "key", func(g *grantstore.Grant) { g.Key = ticketstore.Key{} })
		refuse("created not set", "created", func(g *grantstore.Grant) { g.Created = time.Time{} })
		w.Same(w.LiveGrants(grantstore.Filter{}), []grantstore.Grant{}, "grants after refusals")
	}},
	{Name: "a bad batch is refused by the name of its field", Run: func(w *world.World) {
		s := w.SignIn("ann")
		access, refresh := w.Stored(w.Access(s, "mail")), w.Stored(w.Refresh(s, "mail"))
		clients := w.Find(s).Clients
		store := func(n int) (grants []grantstore.Grant) {
			for range n {
				grants = append(grants, w.Access(s, "mail"))
			}
			return grants
		}
		noRef := grantstore.Ref{Type: grantstore.RefreshToken}
		for _, bad := range []struct {
			name, field string
			batch       grantstore.Batch
		}{
			{"an operation id with a NUL", "operation_id", grantstore.Batch{OperationID: "a\x00"}},
			{"an operation id of 10 kB", "operation_id", grantstore.Batch{OperationID: badIDs[1].id}},
			{"too many grants", "store", grantstore.Batch{Store: store(grantstore.MaxBatch + 1)}},
			{"too many changes of several kinds", "store", grantstore.Batch{
				Store: store(grantstore.MaxBatch - 1), Delete: []grantstore.Ref{access.Ref},
				Revoke: []grantstore.Revocation{{RequestID: "r"}},
			}},
			{"a use of no session", "session_id", grantstore.Batch{Use: &grantstore.Use{ClientID: "mail"}}},
			{
				"a use by no client", "client_id",
				grantstore.Batch{Use: &grantstore.Use{SessionID: s.SessionID}},
			},
			{
				"a use by a client that is not UTF-8", "client_id",
				grantstore.Batch{Use: &grantstore.Use{SessionID: s.SessionID, ClientID: "\xff"}},
			},
			{
				"an access token to consume", "consume",
				grantstore.Batch{Consume: &grantstore.Consumption{Ref: access.Ref}},
			},
			{
				"the zero key to consume", "key",
				grantstore.Batch{Consume: &grantstore.Consumption{Ref: noRef}},
			},
			{
				"the zero key to have seen", "key",
				grantstore.Batch{Seen: []grantstore.Precondition{{Ref: noRef}}},
			},
			{
				"too many grants seen", "seen",
				grantstore.Batch{Seen: make([]grantstore.Precondition, grantstore.MaxBatch+1)},
			},
			{"the zero key to delete", "key", grantstore.Batch{Delete: []grantstore.Ref{noRef}}},
			{"no family to revoke", "request_id", grantstore.Batch{Revoke: []grantstore.Revocation{{}}}},
		} {
			w.Refuses(world.Err(w.TryApply(bad.batch)), bad.field, "Apply with "+bad.name)
		}
		_, err := w.Grants.Apply(w.Ctx(), &grantstore.Batch{Store: store(1)}, w.Now)
		w.Refuses(err, "operation_id", "Apply without an operation id")
		w.Live(access, refresh)
		w.Same(len(w.LiveGrants(grantstore.Filter{})), 2, "number of live grants after refusals")
		w.Same(w.Find(s).Clients, clients, "clients of the session after refusals")
	}},
	{Name: "a batch as large as allowed is applied", Run: func(w *world.World) {
		s := w.SignIn("ann")
		batch := grantstore.Batch{Use: &grantstore.Use{SessionID: s.SessionID, ClientID: "mail"}}
		for range grantstore.MaxBatch {
			batch.Store = append(batch.Store, w.Access(s, "mail"))
		}
		w.Apply(batch)
		w.Live(batch.Store...)
	}},
	{Name: "a bad reference is not found, or refused", Run: func(w *world.World) {
		for _, ref := range []grantstore.Ref{
			{}, {Type: grantstore.RefreshToken}, {Type: "device_code", Key: ticketstore.KeyOf("x")},
		} {
			_, err := w.Grants.Get(w.Ctx(), ref, w.Now)
			w.Fails(err, "Get a bad reference", ticketstore.ErrNotFound, ticketstore.ErrInvalid)
		}
	}},
	{Name: "a bad filter is refused by the name of its field", Run: func(w *world.World) {
		for _, bad := range badIDs {
			for field, filter := range map[string]grantstore.Filter{
				"subject_id": {SubjectID: bad.id}, "session_id": {SessionID: bad.id},
				"client_id": {ClientID: bad.id}, "type": {Type: "token"},
			} {
				_, err := w.Grants.Query(w.Ctx(), grantstore.Query{Filter: filter}, w.Now)
				w.Refuses(err, field, "Query with "+field+" "+bad.name)
			}
		}
	}},
}
