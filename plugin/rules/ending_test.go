package rules_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	nothing = records.Survivors_SURVIVORS_UNSPECIFIED
	offline = records.Survivors_SURVIVORS_OFFLINE
	all     = records.Survivors_SURVIVORS_ALL
)

func TestEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ending  logout.Ending
		expires time.Duration
		want    bool
	}{
		"by its sid":         {logout.Ending{SessionID: "sid"}, time.Hour, true},
		"of its subject":     {logout.Ending{SubjectID: "alice"}, time.Hour, true},
		"of another subject": {logout.Ending{SessionID: "sid", SubjectID: "bob"}, time.Hour, false},
		"expired": {
			logout.Ending{SessionID: "sid", Reason: logout.SessionExpiration}, 0, true,
		},
		"renewed since": {
			logout.Ending{SessionID: "sid", Reason: logout.SessionExpiration}, 1, false,
		},
		"signed out after its expiry": {logout.Ending{SessionID: "sid", Reason: logout.UserLogout}, 0, true},
	} {
		s := &records.Session{SubjectId: "alice", Expires: in(c.expires)}
		if got := rules.Ends(&c.ending, s, now); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// Endings that a store makes.
func TestExpirationAndDisplacement(t *testing.T) {
	t.Parallel()
	sweep := logout.Sweep{KeepOffline: true, SkipNotification: true, CoordinatedOnly: true}
	e := rules.Expiration("sid", &sweep)
	if e.SessionID != "sid" || e.Reason != logout.SessionExpiration || !e.KeepConsents || !e.KeepOffline ||
		!e.SkipNotification ||
		!e.CoordinatedOnly || e.KeepSession || e.KeepTokens {
		t.Errorf("Expiration: %+v", e)
	}
	e = rules.Displacement("sid", &ticketstore.Limit{KeepOffline: true})
	if e.SessionID != "sid" || e.Reason != logout.Terminated || !e.KeepConsents || !e.KeepOffline ||
		e.SkipNotification || e.KeepTokens {
		t.Errorf("Displacement: %+v", e)
	}
}

func TestEndClient(t *testing.T) {
	t.Parallel()
	session := &records.Session{SessionId: "sid", SubjectId: "alice", Issuer: "https://op.example"}
	queued := func(again time.Duration) *records.Notification {
		n := &records.Notification{
			Issuer: "https://op.example", ClientId: "app", SubjectId: "alice", SessionId: "sid",
			Reason: string(logout.Terminated),
			State:  string(logout.Pending), Queued: in(0), NextAttempt: in(0), Due: in(0),
			GiveUpAt: in(logout.RetryWindow),
		}
		if again != 0 {
			n.Again = in(again)
		}
		return n
	}
	use := func(change func(u *records.ClientUse)) *records.ClientUse {
		u := &records.ClientUse{Notify: true, LastUsed: in(-time.Hour)}
		if change != nil {
			change(u)
		}
		return u
	}
	for name, c := range map[string]struct {
		ending logout.Ending // with a sid and the reason terminated
		use    *records.ClientUse
		want   rules.ClientEnd
	}{
		"notified": {logout.Ending{}, use(nil), rules.ClientEnd{Notification: queued(0), Consents: true}},
		"notified twice": {
			logout.Ending{}, use(func(u *records.ClientUse) { u.LastUsed = in(-logout.RecentUse) }),
			rules.ClientEnd{Notification: queued(logout.SecondDelivery), Consents: true},
		},
		"notified once if the session is kept": {
			logout.Ending{KeepSession: true},
			use(func(u *records.ClientUse) { u.LastUsed = in(-logout.RecentUse) }),
			rules.ClientEnd{Notification: queued(0), Consents: true},
		},
		"without a URI": {logout.Ending{}, &records.ClientUse{}, rules.ClientEnd{Consents: true}},
		"named": {
			logout.Ending{ClientIDs: []string{"app"}}, use(nil),
			rules.ClientEnd{Notification: queued(0), Consents: true},
		},
		"not named": {
			logout.Ending{ClientIDs: []string{"other"}}, use(nil), rules.ClientEnd{LeftAlone: true},
		},
		"already detached": {
			logout.Ending{}, use(func(u *records.ClientUse) { u.Detached = true }), rules.ClientEnd{},
		},
		"no notifications": {
			logout.Ending{SkipNotification: true}, use(nil), rules.ClientEnd{Consents: true},
		},
		"consents are kept": {
			logout.Ending{KeepConsents: true}, use(nil), rules.ClientEnd{Notification: queued(0)},
		},
		"not coordinated": {
			logout.Ending{CoordinatedOnly: true}, use(nil), rules.ClientEnd{Consents: true},
		},
		"coordinated": {
			logout.Ending{CoordinatedOnly: true}, use(func(u *records.ClientUse) { u.Coordinated = true }),
			rules.ClientEnd{Notification: queued(0), Consents: true},
		},
		"muted for removals": {
			logout.Ending{}, use(func(u *records.ClientUse) { u.Muted = uint32(ticketstore.EndByRemoval) }),
			rules.ClientEnd{Consents: true},
		},
		"a URI registered since": {
			logout.Ending{Registered: ticketstore.Registrations{"app": {Notify: true}}},
			use(func(u *records.ClientUse) { u.Notify = false }),
			rules.ClientEnd{Notification: queued(0), Consents: true},
		},
		"the URI removed since": {
			logout.Ending{Registered: ticketstore.Registrations{"app": {}}}, use(nil),
			rules.ClientEnd{Consents: true},
		},
		"coordinated since": {
			logout.Ending{CoordinatedOnly: true, Registered: ticketstore.Registrations{
				"app": {Notify: true, Coordinated: true},
			}}, use(nil), rules.ClientEnd{Notification: queued(0), Consents: true},
		},
		"muted since": {
			logout.Ending{Registered: ticketstore.Registrations{
				"app": {Notify: true, Muted: ticketstore.EndByRemoval},
			}}, use(nil), rules.ClientEnd{Consents: true},
		},
		"client removed since": {
			logout.Ending{Registered: ticketstore.Registrations{"app": nil, "other": {}}}, use(nil),
			rules.ClientEnd{Notification: queued(0), Consents: true},
		},
		"muted for another reason": {
			logout.Ending{}, use(func(u *records.ClientUse) { u.Muted = uint32(ticketstore.EndByExpiry) }),
			rules.ClientEnd{Notification: queued(0), Consents: true},
		},
	} {
		c.ending.SessionID, c.ending.Reason = "sid", logout.Terminated
		got := rules.EndClient(&c.ending, session, "app", c.use, now)
		if got.LeftAlone != c.want.LeftAlone || got.Consents != c.want.Consents ||
			!proto.Equal(got.Notification, c.want.Notification) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if p := rules.EndClient(&logout.Ending{SubjectID: "alice"}, session, "app", use(nil), now); p.Consents {
		t.Error("an ending without a sid takes consents with each session: they go by themselves")
	}
}

func TestEndTokens(t *testing.T) {
	t.Parallel()
	named := []string{"app"}
	for name, c := range map[string]struct {
		ending logout.Ending
		use    *records.ClientUse
		want   *records.ClientUse // nil: unchanged
	}{
		"every client": {
			logout.Ending{}, &records.ClientUse{Notify: true},
			&records.ClientUse{Notify: true, TokenNumber: 4},
		},
		"tokens are kept": {
			logout.Ending{KeepTokens: true}, &records.ClientUse{}, &records.ClientUse{TokenNumber: 3},
		},
		"named and notified": {
			logout.Ending{ClientIDs: named}, &records.ClientUse{Notify: true},
			&records.ClientUse{Notify: true, TokenNumber: 4, Detached: true},
		},
		"named, no notification": {
			logout.Ending{ClientIDs: named, SkipNotification: true}, &records.ClientUse{Notify: true},
			&records.ClientUse{Notify: true, TokenNumber: 4},
		},
		"named, without a URI": {
			logout.Ending{ClientIDs: named, SkipNotification: true}, &records.ClientUse{},
			&records.ClientUse{TokenNumber: 4, Detached: true},
		},
		"named, the URI removed since": {
			logout.Ending{
				ClientIDs: named, SkipNotification: true,
				Registered: ticketstore.Registrations{"app": {}},
			}, &records.ClientUse{Notify: true},
			&records.ClientUse{Notify: true, TokenNumber: 4, Detached: true},
		},
		"another client": {
			logout.Ending{ClientIDs: []string{"other"}}, &records.ClientUse{Notify: true}, nil,
		},
		"already detached": {logout.Ending{}, &records.ClientUse{Detached: true}, nil},
	} {
		c.ending.OperationID = "op"
		c.use.TokenNumber = 3
		changed := c.want != nil
		if !changed {
			c.want = proto.CloneOf(c.use)
		} else {
			c.want.LastEnding = "op"
		}
		if got := rules.EndTokens(&c.ending, "app", c.use); got != changed || !proto.Equal(c.use, c.want) {
			t.Errorf("%s: changed %t, %v; want %t, %v", name, got, c.use, changed, c.want)
		}
		if rules.Repeated(&c.ending, c.use) != changed {
			t.Errorf("%s: Repeated is %t", name, changed)
		}
	}
	if rules.Repeated(&logout.Ending{}, &records.ClientUse{}) {
		t.Error("an ending without an operation id is repeated")
	}
}

// A client that coordinates its lifetime with the session has no survivors, except those that an ending
// leaves alone.
func TestAddSurvivorsOfCoordinated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ending logout.Ending
		want   records.Survivors
	}{
		"offline access": {logout.Ending{KeepOffline: true}, nothing},
		"all":            {logout.Ending{KeepTokens: true, KeepOffline: true}, all},
		"not coordinated any more": {
			logout.Ending{KeepOffline: true, Registered: ticketstore.Registrations{"app": {}}}, offline,
		},
		"an ending of another client": {logout.Ending{ClientIDs: []string{"other"}, KeepOffline: true}, all},
	} {
		ended := &records.Ended{}
		rules.AddSurvivors(ended, &c.ending, "app", &records.ClientUse{Coordinated: true})
		if got := rules.LeftOf(ended, "app").GetSurvivors(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	asking := rules.Missing{Registered: ticketstore.Registrations{"a": {}, "b": nil}}
	for _, c := range []struct {
		clients []string
		leaves  bool
		asked   []string
	}{
		{nil, false, nil},
		{[]string{"a", "b"}, false, nil},
		{[]string{"b", "c"}, true, []string{"b", "c"}},
		{[]string{"a", "c"}, true, []string{"a", "b", "c"}},
	} {
		if got := asking.Collect(c.clients); got != c.leaves || !slices.Equal(asking.Clients, c.asked) {
			t.Errorf("%q: left %t, clients %q; want %t, %q",
				c.clients, got, asking.Clients, c.leaves, c.asked)
		}
	}
	many := make([]string, ticketstore.MaxRegistrations+1)
	for i := range many {
		many[i] = fmt.Sprintf("client %04d", i)
	}
	if !asking.Collect(many) || len(asking.Clients) != 3 {
		t.Errorf("%d clients, want only those of the previous sessions", len(asking.Clients))
	}
	first := rules.Missing{}
	if !first.Collect(many) || len(first.Clients) != ticketstore.MaxRegistrations {
		t.Errorf("%d clients of the first session, want the maximum", len(first.Clients))
	}
	first.Registered = ticketstore.Registrations{}
	for _, id := range first.Clients {
		first.Registered[id] = nil
	}
	if first.Collect(many) {
		t.Error("a session with too many clients is never ended")
	}
}

func TestAddSurvivors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ending logout.Ending
		want   records.Survivors
	}{
		"nothing":                       {logout.Ending{}, nothing},
		"offline access":                {logout.Ending{KeepOffline: true}, offline},
		"all":                           {logout.Ending{KeepTokens: true, KeepOffline: true}, all},
		"of clients that are not named": {logout.Ending{ClientIDs: []string{"other"}}, all},
		"nothing of the named client":   {logout.Ending{ClientIDs: []string{"app"}}, nothing},
		"offline access of the named client": {
			logout.Ending{ClientIDs: []string{"app"}, KeepOffline: true}, offline,
		},
	} {
		c.ending.Reason = logout.UserLogout
		got := rules.EndedBy(&c.ending, &records.Session{SubjectId: "alice"}, now)
		rules.AddSurvivors(got, &c.ending, "app", &records.ClientUse{TokenNumber: 3})
		want := &records.Ended{
			SubjectId: "alice", When: in(0), Reason: string(logout.UserLogout), Survivors: c.want,
		}
		if c.want != nothing {
			want.Clients = []*records.EndedClient{{ClientId: "app", TokenNumber: 3, Survivors: c.want}}
		}
		if !proto.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	// The maximum over the entries of all clients.
	mixed := &records.Ended{Survivors: all}
	rules.AddSurvivors(mixed, &logout.Ending{KeepOffline: true}, "app", &records.ClientUse{})
	if mixed.Survivors != all || len(mixed.Clients) != 1 || mixed.Clients[0].Survivors != offline {
		t.Errorf("one of several: %v", mixed)
	}
}

func TestRevokeSurvivors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ending logout.Ending
		left   []records.Survivors // of a and b; nil: unchanged
	}{
		"all": {logout.Ending{}, []records.Survivors{nothing, nothing}},
		"of its subject": {
			logout.Ending{SubjectID: "alice"}, []records.Survivors{nothing, nothing},
		},
		"of one client": {
			logout.Ending{ClientIDs: []string{"a"}}, []records.Survivors{nothing, offline},
		},
		"of the other client": {
			logout.Ending{ClientIDs: []string{"b"}}, []records.Survivors{all, nothing},
		},
		"of another subject":         {logout.Ending{SubjectID: "bob"}, nil},
		"tokens are kept":            {logout.Ending{KeepTokens: true}, nil},
		"offline access is kept":     {logout.Ending{KeepOffline: true}, nil},
		"a session that has expired": {logout.Ending{Reason: logout.SessionExpiration}, nil},
	} {
		before := &records.Ended{SubjectId: "alice", Survivors: all, Clients: []*records.EndedClient{
			{ClientId: "a", Survivors: all}, {ClientId: "b", Survivors: offline},
		}}
		want := proto.CloneOf(before)
		if c.left != nil {
			want.Survivors = max(c.left[0], c.left[1])
			want.Clients[0].Survivors, want.Clients[1].Survivors = c.left[0], c.left[1]
		}
		if got := rules.RevokeSurvivors(&c.ending, before); got != (c.left != nil) ||
			!proto.Equal(before, want) {
			t.Errorf("%s: changed %t, %v; want %v", name, got, before, want)
		}
	}
	for name, ended := range map[string]*records.Ended{
		"no record": nil, "nothing left": {SubjectId: "alice"},
	} {
		if rules.RevokeSurvivors(&logout.Ending{}, ended) {
			t.Errorf("%s: revoked, want unchanged", name)
		}
	}
}

func TestRevokesUnbound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ending logout.Ending
		kind   grantstore.Type
		change func(g *records.Grant)
		want   bool
	}{
		"a token without a session": {logout.Ending{SubjectID: "alice"}, grantstore.RefreshToken, nil, true},
		"of all subjects":           {logout.Ending{All: true}, grantstore.RefreshToken, nil, true},
		"of another subject":        {logout.Ending{SubjectID: "bob"}, grantstore.RefreshToken, nil, false},
		"a token of a session": {
			logout.Ending{All: true}, grantstore.RefreshToken, func(g *records.Grant) { g.SessionId = "sid" },
			false,
		},
		"a consent, given in a session": {
			logout.Ending{All: true}, grantstore.UserConsent, func(g *records.Grant) { g.SessionId = "sid" },
			true,
		},
		"without a subject": {
			logout.Ending{All: true}, grantstore.RefreshToken, func(g *records.Grant) { g.SubjectId = "" },
			false,
		},
		"of another client": {
			logout.Ending{All: true, ClientIDs: []string{"other"}}, grantstore.UserConsent, nil, false,
		},
		"used": {
			logout.Ending{All: true}, grantstore.RefreshToken, func(g *records.Grant) { g.Consumed = 1 },
			false,
		},
		"consents are kept": {
			logout.Ending{All: true, KeepConsents: true}, grantstore.UserConsent, nil, false,
		},
		"tokens are kept": {
			logout.Ending{All: true, KeepTokens: true}, grantstore.RefreshToken, nil, false,
		},
		"a consent, tokens are kept": {
			logout.Ending{All: true, KeepTokens: true}, grantstore.UserConsent, nil, true,
		},
		"a pushed request": {logout.Ending{All: true}, grantstore.PushedAuthorization, nil, false},
		"created within the clock skew": {
			logout.Ending{All: true}, grantstore.RefreshToken,
			func(g *records.Grant) { g.Created = in(rules.ClockSkew) }, true,
		},
		"created since": {
			logout.Ending{All: true}, grantstore.RefreshToken,
			func(g *records.Grant) { g.Created = in(rules.ClockSkew + 1) }, false,
		},
		"that came since, as of then": {
			logout.Ending{All: true, AsOf: now.Add(time.Second)}, grantstore.RefreshToken,
			func(g *records.Grant) { g.Created = in(rules.ClockSkew + 1) }, true,
		},
		"refreshed since": {
			logout.Ending{All: true}, grantstore.RefreshToken,
			func(g *records.Grant) { g.Began, g.Created = g.GetCreated(), in(rules.ClockSkew+1) }, true,
		},
	} {
		g := &records.Grant{SubjectId: "alice", ClientId: "app", Created: in(-time.Hour)}
		if c.change != nil {
			c.change(g)
		}
		if got := rules.RevokesUnbound(&c.ending, c.kind, g, now); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestPurgedByEnd(t *testing.T) {
	t.Parallel()
	live := &rules.Standing{
		Session: &records.Session{Expires: in(time.Hour)}, Use: &records.ClientUse{TokenNumber: 3},
	}
	over := &rules.Standing{
		Session: &records.Session{Expires: in(0)}, Use: &records.ClientUse{TokenNumber: 3},
	}
	gone := &rules.Standing{}
	for name, c := range map[string]struct {
		kind          grantstore.Type
		grant         *records.Grant
		standing      *rules.Standing
		goes, revoked bool
	}{
		"of a session that has ended": {
			grantstore.ReferenceToken, &records.Grant{TokenNumber: 3}, gone, true, true,
		},
		"expired before": {
			grantstore.ReferenceToken, &records.Grant{Expires: in(0)}, gone, true, false,
		},
		"used before": {
			grantstore.RefreshToken, &records.Grant{Consumed: 1}, gone, true, false,
		},
		"of a live session": {
			grantstore.ReferenceToken, &records.Grant{TokenNumber: 3}, live, false, false,
		},
		"revoked in a live session": {
			grantstore.ReferenceToken, &records.Grant{TokenNumber: 2}, live, true, true,
		},
		"of an expired session that is not ended": {
			grantstore.ReferenceToken, &records.Grant{TokenNumber: 3}, over, false, false,
		},
		"a consent": {grantstore.UserConsent, &records.Grant{}, gone, false, false},
		"a survivor": {
			grantstore.RefreshToken, &records.Grant{ClientId: "app", TokenNumber: 3}, ended(all, 3), false,
			false,
		},
	} {
		if goes, revoked := rules.PurgedByEnd(c.kind, c.grant, c.standing, now); goes != c.goes ||
			revoked != c.revoked {
			t.Errorf("%s: purged %t, counted %t", name, goes, revoked)
		}
	}
}
