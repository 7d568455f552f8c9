package tickets

// Filters and totals of listings of sessions.

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// The six sessions of most query cases, a minute apart.
const (
	ann1 = "s1-ann"
	bob1 = "s2-bob"
	ann2 = "s3-ann"
	cid1 = "s4-cid"
	ann3 = "s5-ann"
	bob2 = "s6-bob"
)

// sixSessions stores them: ann has three, bob two, cid one; the mail client used all of ann's, the wiki each
// user's first.
func sixSessions(w *world.World) map[string]*ticketstore.Session {
	w.Helper()
	all := map[string]*ticketstore.Session{}
	for i, row := range []struct{ sid, subject, name string }{
		{ann1, "ann", "Ann Lee"}, {bob1, "bob", "Bob Lee"}, {ann2, "ann", "Ann Lee"},
		{cid1, "cid", "Cid Moss"}, {ann3, "ann", "Ann Lee-Moss"}, {bob2, "bob", "Bob Lee"},
	} {
		created := world.Base.Add(time.Duration(i) * time.Minute)
		all[row.sid] = w.SignIn(row.subject, world.SID(row.sid), world.Named(row.name),
			world.CreatedAt(created))
	}
	for _, sid := range []string{ann1, ann2, ann3} {
		w.Uses(all[sid], "mail")
	}
	for _, sid := range []string{ann1, bob1, cid1} {
		w.Uses(all[sid], "wiki")
	}
	return all
}

// minute returns the creation time of session n, counted from 1.
func minute(number int) time.Time { return world.Base.Add(time.Duration(number-1) * time.Minute) }

// filterRows are filters over sixSessions, the sessions that they select, and whether totals must be exact.
var filterRows = []struct {
	name   string
	filter ticketstore.SessionFilter
	want   []string
	exact  bool
}{
	{"none", ticketstore.SessionFilter{}, []string{ann1, bob1, ann2, cid1, ann3, bob2}, true},
	{"subject", ticketstore.SessionFilter{SubjectID: "ann"}, []string{ann1, ann2, ann3}, true},
	{"unknown subject", ticketstore.SessionFilter{SubjectID: "an"}, nil, true},
	{"subject in another case", ticketstore.SessionFilter{SubjectID: "Ann"}, nil, true},
	{"sid", ticketstore.SessionFilter{SessionID: cid1}, []string{cid1}, true},
	{"unknown sid", ticketstore.SessionFilter{SessionID: "s4"}, nil, true},
	{"client", ticketstore.SessionFilter{ClientID: "wiki"}, []string{ann1, bob1, cid1}, true},
	{"unknown client", ticketstore.SessionFilter{ClientID: "wik"}, nil, true},
	{
		"subject and client", ticketstore.SessionFilter{SubjectID: "ann", ClientID: "wiki"}, []string{ann1},
		true,
	},
	{"subject and sid", ticketstore.SessionFilter{SubjectID: "bob", SessionID: bob2}, []string{bob2}, true},
	{"subject and another's sid", ticketstore.SessionFilter{SubjectID: "bob", SessionID: ann1}, nil, true},
	{
		"client and a sid it did not use", ticketstore.SessionFilter{ClientID: "mail", SessionID: bob1}, nil,
		true,
	},
	{"name", ticketstore.SessionFilter{DisplayName: "Lee"}, []string{ann1, bob1, ann2, ann3, bob2}, false},
	{"name in another case", ticketstore.SessionFilter{DisplayName: "n lEE-m"}, []string{ann3}, false},
	{"unknown name", ticketstore.SessionFilter{DisplayName: "Zoe"}, nil, false},
	{"name with a wildcard", ticketstore.SessionFilter{DisplayName: "%"}, nil, false},
	{"name with another wildcard", ticketstore.SessionFilter{DisplayName: "Ann_Lee"}, nil, false},
	{
		"name and subject", ticketstore.SessionFilter{DisplayName: "moss", SubjectID: "ann"}, []string{ann3},
		false,
	},
	{
		"name and client", ticketstore.SessionFilter{DisplayName: "LEE", ClientID: "wiki"},
		[]string{ann1, bob1}, false,
	},
	{"created from", ticketstore.SessionFilter{CreatedFrom: minute(4)}, []string{cid1, ann3, bob2}, false},
	{
		"created before", ticketstore.SessionFilter{CreatedBefore: minute(4)}, []string{ann1, bob1, ann2},
		false,
	},
	{
		"created within", ticketstore.SessionFilter{CreatedFrom: minute(2), CreatedBefore: minute(5)},
		[]string{bob1, ann2, cid1}, false,
	},
	{
		"created in an empty range",
		ticketstore.SessionFilter{CreatedFrom: minute(4), CreatedBefore: minute(4)}, nil, false,
	},
	{
		"created in a reversed range",
		ticketstore.SessionFilter{CreatedFrom: minute(5), CreatedBefore: minute(2)}, nil, false,
	},
	{"expires from", ticketstore.SessionFilter{ExpiresFrom: minute(65)}, []string{ann3, bob2}, false},
	{"expires before", ticketstore.SessionFilter{ExpiresBefore: minute(62)}, []string{ann1}, false},
	{
		"expires within", ticketstore.SessionFilter{ExpiresFrom: minute(62), ExpiresBefore: minute(64)},
		[]string{bob1, ann2}, false,
	},
	{
		"subject and created", ticketstore.SessionFilter{SubjectID: "ann", CreatedFrom: minute(2)},
		[]string{ann2, ann3}, false,
	},
	{
		"client and expires", ticketstore.SessionFilter{ClientID: "wiki", ExpiresBefore: minute(64)},
		[]string{ann1, bob1}, false,
	},
	{
		"created and expires", ticketstore.SessionFilter{CreatedFrom: minute(2), ExpiresBefore: minute(65)},
		[]string{bob1, ann2, cid1}, false,
	},
	{"all", ticketstore.SessionFilter{
		SubjectID: "ann", SessionID: ann1, ClientID: "mail", DisplayName: "ann", CreatedFrom: minute(1),
		CreatedBefore: minute(2), ExpiresFrom: minute(61), ExpiresBefore: minute(62),
	}, []string{ann1}, false},
	{"all but one", ticketstore.SessionFilter{
		SubjectID: "ann", SessionID: ann1, ClientID: "mail", DisplayName: "ann", CreatedFrom: minute(1),
		CreatedBefore: minute(2),
		ExpiresFrom:   minute(62),
	}, nil, false},
}

var queryCases = []world.Case{
	{Name: "each filter selects exactly its sessions, in both orders", Run: func(w *world.World) {
		sixSessions(w)
		for _, row := range filterRows {
			w.Same(w.SIDs(row.filter), row.want, "sessions by "+row.name)
			descending := make([]string, 0, len(row.want))
			for i := range row.want {
				descending = append(descending, row.want[len(row.want)-1-i])
			}
			w.Same(walkSIDs(w, ticketstore.SessionQuery{Filter: row.filter, Count: 2}), descending,
				"sessions by "+row.name+", the newest first")
		}
	}},
	{Name: "totals are exact without a filter and with exact filters", Run: func(w *world.World) {
		sixSessions(w)
		for _, row := range filterRows {
			page := w.Query(ticketstore.SessionQuery{Filter: row.filter, Count: 2})
			pages := (len(row.want) + 1) / 2
			if !row.exact && page.TotalCount == -1 && page.TotalPages == -1 {
				continue
			}
			w.Same(page.TotalCount, len(row.want), "TotalCount by "+row.name)
			w.Same(page.TotalPages, pages, "TotalPages by "+row.name)
		}
	}},
	{Name: "results have clients, and neither key nor ticket", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "wiki")
		w.Pass(time.Second)
		w.Uses(s, "mail")
		page := w.Query(ticketstore.SessionQuery{})
		w.Same(len(page.Sessions), 1, "number of sessions")
		got := page.Sessions[0]
		sameSession(w, &got.Session, public(s), "the session in the listing")
		w.Same(got.Clients, w.Find(s).Clients, "clients of the session in the listing")
		w.Same([]string{got.Clients[0].ClientID, got.Clients[1].ClientID}, []string{"wiki", "mail"},
			"clients by their first use")
	}},
	{Name: "without a match the page is empty and has no token", Run: func(w *world.World) {
		for range 2 {
			page := w.Query(ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{SubjectID: "nobody"}})
			w.Same(*page, ticketstore.Page{CurrentPage: page.CurrentPage}, "the page")
			w.SignIn("ann")
		}
	}},
	{Name: "expired sessions are listed until they are ended", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(48 * time.Hour)
		w.Same(w.SIDs(ticketstore.SessionFilter{}), []string{s.SessionID}, "sessions after the expiry")
		w.Sweep(logout.Sweep{})
		w.SessionGone(s)
		w.Same(w.Query(ticketstore.SessionQuery{}).TotalCount, 0, "TotalCount after the end")
	}},
	{Name: "totals follow created and ended sessions", Run: func(w *world.World) {
		all := sixSessions(w)
		w.End(logout.Ending{SubjectID: "ann", SessionID: ann1})
		w.SignIn("cid")
		w.End(logout.Ending{SubjectID: "bob"})
		w.Renew(all[cid1], 2*time.Hour)
		for filter, want := range map[ticketstore.SessionFilter]int{
			{}: 4, {SubjectID: "ann"}: 2, {SubjectID: "bob"}: 0, {SubjectID: "cid"}: 2, {ClientID: "mail"}: 2,
			{ClientID: "wiki"}: 1,
		} {
			w.Same(w.Query(ticketstore.SessionQuery{Filter: filter}).TotalCount, want,
				"TotalCount by "+filter.SubjectID+filter.ClientID)
		}
	}},
	{Name: "a name is found without regard to case in any script", Run: func(w *world.World) {
		for _, row := range []struct{ name, part string }{
			{"ÅSA ÖBERG", "åsa ö"},
			{"åsa öberg", "ÖBERG"},
			{"ΟΔΥΣΣΕΥΣ", "οδυσσευς"}, // the final sigma folds to the others
			{"Иван Жуков", "жУК"},
			{"\u212aelvin", "kel"}, // the Kelvin sign folds to k
			{"Stra\u00dfe", "STRA\u1e9eE"},
			{"名前 太郎", "前 太"},
			// i with and without a dot fold to one letter: which of them is the lower case of I depends on
			// the language.
			{"Işık İnan", "işik INAN"},
			{"IŞIK INAN", "ışık inan"},
			{"Ilgin", "İLGIN"},
			{"İnci", "i\u0307nci"}, // İ in lower case, as some programs have it
			{"i\u0307nci", "inc"},
		} {
			s := w.SignIn("ann", world.Named(row.name))
			w.Same(w.SIDs(ticketstore.SessionFilter{DisplayName: row.part}), []string{s.SessionID},
				row.name+" by "+row.part)
			w.End(logout.Ending{SessionID: s.SessionID})
		}
	}},
}

// walkSIDs walks a query to its end and returns the sids in the order shown.
func walkSIDs(w *world.World, query ticketstore.SessionQuery) []string {
	w.Helper()
	var sids []string
	for range 1000 {
		page := w.Query(query)
		for i := range page.Sessions {
			sids = append(sids, page.Sessions[i].SessionID)
		}
		if !page.HasNext {
			return sids
		}
		query.ResultsToken = page.ResultsToken
	}
	w.Fatal("the walk does not end")
	return nil
}
