package rules_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var now = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

func in(d time.Duration) int64 { return records.Nanos(now.Add(d)) }

func TestLive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		session *records.Session
		want    bool
	}{
		"ended":               {nil, false},
		"before Expires":      {&records.Session{Expires: in(1)}, true},
		"at Expires":          {&records.Session{Expires: in(0)}, false},
		"before both":         {&records.Session{Expires: in(2), EndsAt: in(1)}, true},
		"at EndsAt":           {&records.Session{Expires: in(time.Hour), EndsAt: in(0)}, false},
		"EndsAt behind":       {&records.Session{Expires: in(0), EndsAt: in(time.Hour)}, false},
		"no absolute timeout": {&records.Session{Expires: in(time.Hour)}, true},
	} {
		if got := rules.Live(c.session, now); got != c.want {
			t.Errorf("%s: live is %t, want %t", name, got, c.want)
		}
	}
}

func TestSlide(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	session := func(renewed, expires, endsAt time.Duration) *records.Session {
		s := &records.Session{Renewed: in(renewed), Expires: in(expires), Version: 7}
		if endsAt != 0 {
			s.EndsAt = in(endsAt)
		}
		return s
	}
	for name, c := range map[string]struct {
		session *records.Session
		want    time.Duration // of Expires; 0: it does not slide
	}{
		"used after a while":          {session(-hour, hour, 0), 2 * hour},
		"at the throttle":             {session(-time.Minute, hour, 0), 2 * hour},
		"renewed lately":              {session(-time.Minute+1, hour, 0), 0},
		"up to its absolute end":      {session(-hour, hour, 90*time.Minute), 90 * time.Minute},
		"at its absolute end already": {session(-hour, hour, hour), 0},
		"would not live longer":       {session(-hour, 2*hour, 0), 0},
		"over":                        {session(-hour, 0, 0), 0},
		"ended":                       {nil, 0},
	} {
		before := proto.CloneOf(c.session)
		slid := rules.Slide(c.session, &grantstore.Slide{Expires: now.Add(2 * hour), RenewedBefore: now.Add(-time.Minute)}, now)
		if slid != (c.want != 0) {
			t.Errorf("%s: slid is %t", name, slid)
		}
		switch {
		case !slid && !proto.Equal(before, c.session):
			t.Errorf("%s: it did not slide and is %v, was %v", name, c.session, before)
		case slid && (c.session.Expires != in(c.want) || c.session.Renewed != in(0) || c.session.Version != 8):
			t.Errorf("%s: %v", name, c.session)
		}
	}
}

// ended is an ended record with one client's entry.
func ended(survivors records.Survivors, number uint64) *rules.Standing {
	return &rules.Standing{Ended: &records.Ended{
		Survivors: survivors, Clients: []*records.EndedClient{{ClientId: "app", TokenNumber: number, Survivors: survivors}},
	}}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	const (
		code, openID, refresh, access = grantstore.AuthorizationCode, grantstore.OpenIDRequest, grantstore.RefreshToken, grantstore.ReferenceToken
		offline, all                  = records.Survivors_SURVIVORS_OFFLINE, records.Survivors_SURVIVORS_ALL
	)
	live := &rules.Standing{Session: &records.Session{Expires: in(time.Hour)}, Use: &records.ClientUse{TokenNumber: 3}}
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
		"live":                                    {access, grant(nil), live, nil},
		"at its Expires":                          {access, grant(func(g *records.Grant) { g.Expires = in(0) }), live, ticketstore.ErrNotFound},
		"without Expires":                         {refresh, grant(func(g *records.Grant) { g.Expires = 0 }), live, nil},
		"used":                                    {refresh, grant(used), live, grantstore.ErrConsumed},
		"its session is over":                     {access, grant(nil), over, grantstore.ErrSessionEnded},
		"its session is over, and it was used":    {code, grant(used), over, grantstore.ErrSessionEnded},
		"revoked while its session stayed":        {access, grant(func(g *records.Grant) { g.TokenNumber = 2 }), live, grantstore.ErrSessionEnded},
		"its client has no row":                   {access, grant(nil), unused, grantstore.ErrSessionEnded},
		"no session":                              {access, grant(func(g *records.Grant) { g.SessionId = "" }), &rules.Standing{}, nil},
		"a consent of an ended session":           {grantstore.UserConsent, grant(nil), &rules.Standing{}, nil},
		"its session has ended":                   {refresh, grant(isOffline), &rules.Standing{}, grantstore.ErrSessionEnded},
		"ended with nothing left":                 {refresh, grant(isOffline), ended(0, 3), grantstore.ErrSessionEnded},
		"offline refresh token survives":          {refresh, grant(isOffline), ended(offline, 3), nil},
		"other refresh tokens do not":             {refresh, grant(nil), ended(offline, 3), grantstore.ErrSessionEnded},
		"nor offline access tokens":               {access, grant(isOffline), ended(offline, 3), grantstore.ErrSessionEnded},
		"but those issued since":                  {access, grant(func(g *records.Grant) { g.Outlives = true }), ended(offline, 3), nil},
		"a removal left tokens alone":             {access, grant(nil), ended(all, 3), nil},
		"but none that was revoked before":        {access, grant(nil), ended(all, 4), grantstore.ErrSessionEnded},
		"codes never survive":                     {code, grant(nil), ended(all, 3), grantstore.ErrSessionEnded},
		"their reuse is noticed":                  {code, grant(used), ended(all, 3), grantstore.ErrConsumed},
		"OpenID records go with their codes":      {openID, grant(used), ended(all, 3), grantstore.ErrSessionEnded},
		"another client's entry":                  {access, grant(func(g *records.Grant) { g.ClientId = "other" }), ended(all, 3), grantstore.ErrSessionEnded},
		"an entry of a kind that nobody knows":    {access, grant(nil), ended(9, 3), grantstore.ErrSessionEnded},
		"a used refresh token of an ended family": {refresh, grant(func(g *records.Grant) { used(g); isOffline(g) }), ended(offline, 3), grantstore.ErrConsumed},
	} {
		if err := rules.Judge(c.kind, c.grant, c.standing, now); !errors.Is(err, c.want) || (c.want == nil && err != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestUsedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		used  uint64 // of the record: 1 and the grace of the first use
		since time.Duration
		grace time.Duration
		want  bool
	}{
		"within both graces":            {1 + uint64(time.Minute), time.Second, time.Minute, true},
		"at their end":                  {1 + uint64(time.Minute), time.Minute, time.Minute, true},
		"just after":                    {1 + uint64(time.Minute), time.Minute + 1, time.Hour, false},
		"the first use allowed none":    {1, 0, time.Hour, false},
		"the next use allows none":      {1 + uint64(time.Hour), 0, 0, false},
		"of before a grace was kept":    {0, time.Second, time.Minute, true},
		"a grace that no duration has":  {1 << 63, time.Second, time.Minute, true},
		"of before, and the time is up": {0, time.Hour, time.Minute, false},
	} {
		g := &records.Grant{Consumed: in(-c.since), Used: c.used}
		if got := rules.UsedAgain(g, c.grace, now); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
	if grace := rules.Grace(&grantstore.Consumption{Ref: grantstore.Ref{Type: grantstore.AuthorizationCode}, Grace: time.Hour}); grace != 0 {
		t.Errorf("a code has a grace of %s", grace)
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		again   int64
		outcome logout.Outcome
		want    *records.Notification
	}{
		"delivered": {0, logout.Outcome{State: logout.Delivered}, &records.Notification{
			State: string(logout.Delivered), PurgeAt: in(logout.NotificationRetention),
		}},
		"delivered, to be told a second time": {in(time.Minute), logout.Outcome{State: logout.Delivered}, &records.Notification{
			State: string(logout.Pending), NextAttempt: in(time.Minute),
		}},
		"delivered late, to be told a second time": {in(-time.Minute), logout.Outcome{State: logout.Delivered}, &records.Notification{
			State: string(logout.Pending), NextAttempt: in(0),
		}},
		"tried again": {in(time.Minute), logout.Outcome{State: logout.Pending, NextAttempt: now.Add(time.Hour), LastError: "503"}, &records.Notification{
			State: string(logout.Pending), NextAttempt: in(time.Hour), Again: in(time.Minute), LastError: "503",
		}},
		"refused": {in(time.Minute), logout.Outcome{State: logout.Refused, LastError: "400"}, &records.Notification{
			State: string(logout.Refused), LastError: "400", PurgeAt: in(logout.NotificationRetention),
		}},
	} {
		n := &records.Notification{State: string(logout.Pending), Again: c.again, NextAttempt: in(0)}
		rules.Settle(n, &c.outcome, now)
		c.want.Attempts, c.want.LastAttempt = 1, in(0)
		if !proto.Equal(n, c.want) {
			t.Errorf("%s: %v, want %v", name, n, c.want)
		}
	}
}

func TestSendAgain(t *testing.T) {
	t.Parallel()
	n := &records.Notification{State: string(logout.GivenUp), Attempts: 9, LastError: "503", PurgeAt: 1}
	rules.SendAgain(n, now)
	want := &records.Notification{State: string(logout.Pending), NextAttempt: in(0), GiveUpAt: in(logout.RetryWindow)}
	if !proto.Equal(n, want) {
		t.Errorf("one that was given up: %v, want %v", n, want)
	}
	told := &records.Notification{State: string(logout.Pending), Attempts: 1, NextAttempt: in(10 * time.Second)}
	rules.SendAgain(told, now)
	if told.Again != in(10*time.Second) || told.NextAttempt != in(0) {
		t.Errorf("one that waits to be told a second time: %v, want both tellings", told)
	}
}
