package rules_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// ended is an ended record with one client's entry.
func ended(survivors records.Survivors, number uint64) *rules.Standing {
	return &rules.Standing{Ended: &records.Ended{
		Survivors: survivors,
		Clients:   []*records.EndedClient{{ClientId: "app", TokenNumber: number, Survivors: survivors}},
	}}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	const (
		code, openID    = grantstore.AuthorizationCode, grantstore.OpenIDRequest
		refresh, access = grantstore.RefreshToken, grantstore.ReferenceToken
		offline, all    = records.Survivors_SURVIVORS_OFFLINE, records.Survivors_SURVIVORS_ALL
	)
	live := &rules.Standing{
		Session: &records.Session{Expires: in(time.Hour)}, Use: &records.ClientUse{TokenNumber: 3},
	}
	over := &rules.Standing{Session: &records.Session{Expires: in(0)}, Use: &records.ClientUse{}}
	unused := &rules.Standing{Session: live.Session}
	grant := func(change func(g *records.Grant)) *records.Grant {
		g := &records.Grant{SessionId: "sid", ClientId: "app", TokenNumber: 3, Expires: in(time.Hour)}
		if change != nil {
			change(g)
		}
		return g
	}
	isOffline := func(g *records.Grant) { g.Offline = true }
	used := func(g *records.Grant) { g.Consumed = in(-time.Minute) }
	for name, c := range map[string]struct {
		kind     grantstore.Type
		grant    *records.Grant
		standing *rules.Standing
		want     error
	}{
		"live": {access, grant(nil), live, nil},
		"at its Expires": {
			access, grant(func(g *records.Grant) { g.Expires = in(0) }), live, ticketstore.ErrNotFound,
		},
		"without Expires": {
			refresh, grant(func(g *records.Grant) { g.Expires = 0 }), live, nil,
		},
		"used":                        {refresh, grant(used), live, grantstore.ErrConsumed},
		"of an expired session":       {access, grant(nil), over, grantstore.ErrSessionEnded},
		"used, of an expired session": {code, grant(used), over, grantstore.ErrSessionEnded},
		"revoked in a live session": {
			access, grant(func(g *records.Grant) { g.TokenNumber = 2 }), live, grantstore.ErrSessionEnded,
		},
		"without a row of its client": {access, grant(nil), unused, grantstore.ErrSessionEnded},
		"without a session": {
			access, grant(func(g *records.Grant) { g.SessionId = "" }), &rules.Standing{}, nil,
		},
		"a consent of an ended session": {
			grantstore.UserConsent, grant(nil), &rules.Standing{}, nil,
		},
		"of an ended session": {
			refresh, grant(isOffline), &rules.Standing{}, grantstore.ErrSessionEnded,
		},
		"no survivors": {
			refresh, grant(isOffline), ended(0, 3), grantstore.ErrSessionEnded,
		},
		"offline survivor": {refresh, grant(isOffline), ended(offline, 3), nil},
		"not offline": {
			refresh, grant(nil), ended(offline, 3), grantstore.ErrSessionEnded,
		},
		"an offline access token": {
			access, grant(isOffline), ended(offline, 3), grantstore.ErrSessionEnded,
		},
		"an access token issued since": {
			access, grant(func(g *records.Grant) { g.Outlives = true }), ended(offline, 3), nil,
		},
		"a survivor of a removal": {access, grant(nil), ended(all, 3), nil},
		"revoked before the removal": {
			access, grant(nil), ended(all, 4), grantstore.ErrSessionEnded,
		},
		"a code": {
			code, grant(nil), ended(all, 3), grantstore.ErrSessionEnded,
		},
		"a used code": {code, grant(used), ended(all, 3), grantstore.ErrConsumed},
		"the OpenID record of a code": {
			openID, grant(used), ended(all, 3), grantstore.ErrSessionEnded,
		},
		"another client's entry": {
			access, grant(func(g *records.Grant) { g.ClientId = "other" }), ended(all, 3),
			grantstore.ErrSessionEnded,
		},
		"an entry of an unknown kind": {
			access, grant(nil), ended(9, 3), grantstore.ErrSessionEnded,
		},
		"a used refresh token of an ended family": {
			refresh, grant(func(g *records.Grant) { used(g); isOffline(g) }), ended(offline, 3),
			grantstore.ErrConsumed,
		},
	} {
		if err := rules.Judge(c.kind, c.grant, c.standing, now); !errors.Is(err, c.want) || (c.want == nil &&
			err != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestUnchanged(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	g := &records.Grant{Data: []byte("read")}
	for name, c := range map[string]struct {
		grant   *records.Grant
		verdict error
		want    error
	}{
		"unchanged":           {g, nil, nil},
		"gone":                {nil, nil, ticketstore.ErrConflict},
		"changed":             {&records.Grant{Data: []byte("written")}, nil, ticketstore.ErrConflict},
		"dead":                {g, grantstore.ErrSessionEnded, ticketstore.ErrConflict},
		"the error of a read": {g, broken, broken},
		"used up since":       {g, grantstore.ErrConsumed, ticketstore.ErrConflict},
		"expired meanwhile":   {g, ticketstore.ErrNotFound, ticketstore.ErrConflict},
	} {
		seen := &grantstore.Precondition{Data: ticketstore.KeyOf("read")}
		if err := rules.Unchanged(seen, c.grant, c.verdict); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

// The host caches a grant that it stored only if the store changed none of its owners.
func TestIssuedAsGiven(t *testing.T) {
	t.Parallel()
	given := grantstore.Grant{
		RequestID: "family", SubjectID: "ann", SessionID: "sid", ClientID: "app", Offline: true,
	}
	if !rules.IssuedAsGiven(&given, nil) || !rules.IssuedAsGiven(&given, records.FromGrant(&given)) {
		t.Error("a grant with the owners of the consumed one: want it stored as given")
	}
	for name, change := range map[string]func(g *records.Grant){
		"family":  func(g *records.Grant) { g.RequestId = "other" },
		"subject": func(g *records.Grant) { g.SubjectId = "other" },
		"session": func(g *records.Grant) { g.SessionId = "other" },
		"client":  func(g *records.Grant) { g.ClientId = "other" },
		"offline": func(g *records.Grant) { g.Offline = false },
	} {
		consumed := records.FromGrant(&given)
		if change(consumed); rules.IssuedAsGiven(&given, consumed) {
			t.Errorf("a grant with the %s of the consumed one: want it not stored as given", name)
		}
	}
}

func TestIssue(t *testing.T) {
	t.Parallel()
	access := grantstore.Ref{Type: grantstore.ReferenceToken, Key: ticketstore.Key{7}}
	given := func(kind grantstore.Type) *grantstore.Grant {
		return &grantstore.Grant{
			Ref: grantstore.Ref{Type: kind}, RequestID: "claimed", SubjectID: "mallory", SessionID: "hers",
			ClientID: "hers", Created: now,
		}
	}
	consumed := &records.Grant{
		RequestId: "r", SubjectId: "alice", SessionId: "sid", ClientId: "app", Offline: true,
		Created: in(-time.Minute),
	}
	issued := func(began time.Duration, access []byte) *records.Grant {
		return &records.Grant{
			RequestId: "r", SubjectId: "alice", SessionId: "sid", ClientId: "app", Offline: true,
			Created: in(0), Began: in(began), Access: access,
		}
	}
	later := proto.CloneOf(consumed)
	later.Began = in(-time.Hour)
	for name, c := range map[string]struct {
		given    *grantstore.Grant
		access   grantstore.Ref
		consumed *records.Grant
		want     *records.Grant
	}{
		"without a consumed grant": {
			given(grantstore.AuthorizationCode), grantstore.Ref{}, nil, records.FromGrant(given("")),
		},
		"for a code": {given(grantstore.ReferenceToken), access, consumed, issued(-time.Minute, nil)},
		"a refresh token and its access token": {
			given(grantstore.RefreshToken), access, consumed, issued(-time.Minute, records.RefBytes(access)),
		},
		"a refresh token alone": {
			given(grantstore.RefreshToken), grantstore.Ref{}, consumed, issued(-time.Minute, nil),
		},
		"for a successor": {
			given(grantstore.ReferenceToken), access, later, issued(-time.Hour, nil),
		},
	} {
		if got := rules.Issue(c.given, c.access, c.consumed); !proto.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	g := &records.Grant{ClientId: "app"}
	rules.Outlive(g, ended(records.Survivors_SURVIVORS_OFFLINE, 3).Ended)
	if !g.Outlives || g.TokenNumber != 3 {
		t.Errorf("a grant that outlives its session: %v", g)
	}
}

func TestOutlives(t *testing.T) {
	t.Parallel()
	consumed := &records.Grant{SessionId: "sid"}
	for name, c := range map[string]struct {
		consumed *records.Grant
		session  *records.Session
		want     bool
	}{
		"its session has ended":             {consumed, nil, true},
		"its session is live":               {consumed, &records.Session{}, false},
		"without a session":                 {&records.Grant{}, nil, false},
		"no consumed grant":                 {nil, nil, false},
		"no consumed grant, a live session": {nil, &records.Session{}, false},
	} {
		if is := rules.Outlives(c.consumed, c.session); is != c.want {
			t.Errorf("%s: %t, want %t", name, is, c.want)
		}
	}
}

func TestVacant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		old  *records.Grant
		want error
	}{
		"an unused key":    {nil, nil},
		"an expired grant": {&records.Grant{Expires: in(0)}, nil},
		"a live grant":     {&records.Grant{Expires: in(1)}, ticketstore.ErrExists},
		"a used grant":     {&records.Grant{Consumed: in(-1)}, ticketstore.ErrExists},
	} {
		if err := rules.Vacant(grantstore.JTI, c.old, now); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

func TestSelectedAndRemoves(t *testing.T) {
	t.Parallel()
	all := grantstore.Filter{
		SubjectID: "alice", SessionID: "sid", ClientID: "app", Type: grantstore.RefreshToken,
	}
	for name, c := range map[string]struct {
		kind      grantstore.Type
		change    func(g *records.Grant)
		filter    grantstore.Filter
		asOf      time.Time
		selects   bool
		isRemoved bool
	}{
		"no condition":   {grantstore.UserConsent, nil, grantstore.Filter{}, time.Time{}, true, true},
		"all conditions": {grantstore.RefreshToken, nil, all, time.Time{}, true, true},
		"another type":   {grantstore.ReferenceToken, nil, all, time.Time{}, false, false},
		"another subject": {
			grantstore.RefreshToken, func(g *records.Grant) { g.SubjectId = "bob" }, all, time.Time{}, false,
			false,
		},
		"another session": {
			grantstore.RefreshToken, func(g *records.Grant) { g.SessionId = "" }, all, time.Time{}, false,
			false,
		},
		"another client": {
			grantstore.RefreshToken, func(g *records.Grant) { g.ClientId = "b" }, all, time.Time{}, false,
			false,
		},
		"used": {
			grantstore.RefreshToken, func(g *records.Grant) { g.Consumed = 1 }, all, time.Time{}, false,
			false,
		},
		"a replay mark": {grantstore.JTI, nil, grantstore.Filter{}, time.Time{}, false, false},
		"a pushed request": {
			grantstore.PushedAuthorization, nil, grantstore.Filter{}, time.Time{}, false, false,
		},
		"created later":        {grantstore.RefreshToken, nil, all, now.Add(-time.Hour), true, false},
		"created at that time": {grantstore.RefreshToken, nil, all, now, true, true},
		"a successor of an older one": {
			grantstore.RefreshToken, func(g *records.Grant) { g.Began = in(-time.Hour) }, all,
			now.Add(-time.Hour), true, true,
		},
	} {
		g := &records.Grant{SubjectId: "alice", SessionId: "sid", ClientId: "app", Created: in(0)}
		if c.change != nil {
			c.change(g)
		}
		if got := rules.Selected(&c.filter, c.kind, g); got != c.selects {
			t.Errorf("%s: selected is %t", name, got)
		}
		removal := &grantstore.Removal{Filter: c.filter, AsOf: c.asOf}
		if got := rules.Removes(removal, c.kind, g); got != c.isRemoved {
			t.Errorf("%s: removed is %t", name, got)
		}
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind             grantstore.Type
		verdict          error
		grants, consents int
	}{
		"a live token":   {grantstore.RefreshToken, nil, 1, 0},
		"a live consent": {grantstore.UserConsent, nil, 0, 1},
		"a dead token":   {grantstore.RefreshToken, grantstore.ErrSessionEnded, 0, 0},
		"a dead consent": {grantstore.UserConsent, ticketstore.ErrNotFound, 0, 0},
	} {
		if grants, consents := rules.Counts(c.kind, c.verdict); grants != c.grants || consents != c.consents {
			t.Errorf("%s: %d and %d", name, grants, consents)
		}
	}
}
