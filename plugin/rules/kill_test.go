package rules_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestKill(t *testing.T) {
	t.Parallel()
	access := grantstore.Ref{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf("a")}
	refresh := grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf("a")}
	row := func(m proto.Message) func() proto.Message { return func() proto.Message { return m } }
	none := row(nil)
	keyOf := func(ref grantstore.Ref) string { return string(records.RefBytes(ref)) }
	use := func(number, used int64) func() proto.Message {
		return row(&records.ClientUse{TokenNumber: uint64(number), LastUsed: used})
	}
	for name, c := range map[string]struct {
		kind         transfer.Kind
		key          string
		was, becomes func() proto.Message
		session      bool // "s" is killed
		grant        bool // access is killed
	}{
		"a changed session":      {transfer.Sessions, "s", none, none, true, false},
		"a changed ended record": {transfer.Ended, "s", none, none, true, false},
		"a used client":          {transfer.Clients, "s\x00c", use(1, 1), use(1, 2), false, false},
		"a higher token number":  {transfer.Clients, "s\x00c", use(1, 1), use(2, 1), true, false},
		"a deleted client":       {transfer.Clients, "s\x00c", use(0, 1), none, true, false},
		"a damaged client":       {transfer.Clients, "s\x00c", none, use(0, 1), true, false},
		"an access token":        {transfer.Grants, keyOf(access), none, none, false, true},
		"a refresh token":        {transfer.Grants, keyOf(refresh), none, none, false, false},
		"a malformed key":        {transfer.Grants, "x", none, none, false, false},
		"an operation":           {transfer.Operations, "s", none, none, false, false},
		"a notification":         {transfer.Notifications, "s", none, none, false, false},
	} {
		kill := &grantstore.Kill{}
		rules.Kill(kill, c.kind, c.key, c.was, c.becomes)
		if got := slices.Contains(kill.Sessions, "s"); got != c.session || len(kill.Sessions) > 1 {
			t.Errorf("%s: kills sessions %v, want s: %t", name, kill.Sessions, c.session)
		}
		if got := slices.Contains(kill.Grants, access); got != c.grant || len(kill.Grants) > 1 {
			t.Errorf("%s: kills grants %v, want the token: %t", name, kill.Grants, c.grant)
		}
		if (c.session || c.grant) && !rules.Kills(c.kind) {
			t.Errorf("%s: kills, but the table is not marked as killing", name)
		}
	}
	if rules.Kills(transfer.Operations) || rules.Kills(transfer.Notifications) {
		t.Error("rows without effect on tokens kill")
	}
	kill := &grantstore.Kill{}
	rules.Kill(kill, transfer.Clients, "s\x00c", use(1, 1), none)
	rules.Kill(kill, transfer.Ended, "s", none, none)
	if !slices.Equal(kill.Sessions, []string{"s"}) {
		t.Errorf("rows of one session kill sessions %v, want it once", kill.Sessions)
	}
}

func TestStillLive(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }
	session := func(expires, endsAt time.Time) *grantstore.SessionTimes {
		return &grantstore.SessionTimes{Expires: expires, EndsAt: endsAt}
	}
	for name, c := range map[string]struct {
		expires time.Time
		session *grantstore.SessionTimes
		want    bool
	}{
		"without an end":                {want: true},
		"before its expiry":             {expires: at(1), want: true},
		"at its expiry":                 {expires: now},
		"of a live session":             {expires: at(1), session: session(at(1), time.Time{}), want: true},
		"of an expired session":         {expires: at(1), session: session(now, time.Time{})},
		"at the end of its session":     {session: session(at(1), now)},
		"before the end of its session": {session: session(at(1), at(1)), want: true},
	} {
		found := &grantstore.GetResult{Grant: grantstore.Grant{Expires: c.expires}, Session: c.session}
		if got := rules.StillLive(found, now); got != c.want {
			t.Errorf("%s: got %t, want %t", name, got, c.want)
		}
	}
}
