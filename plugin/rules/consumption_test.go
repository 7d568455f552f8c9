package rules_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestUsedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		used  uint64 // of the record: 1 plus the grace of the first use
		since time.Duration
		grace time.Duration
		want  bool
	}{
		"within both graces":              {1 + uint64(time.Minute), time.Second, time.Minute, true},
		"at the end of both graces":       {1 + uint64(time.Minute), time.Minute, time.Minute, true},
		"after both graces":               {1 + uint64(time.Minute), time.Minute + 1, time.Hour, false},
		"no grace of the first use":       {1, 0, time.Hour, false},
		"no grace of the next use":        {1 + uint64(time.Hour), 0, 0, false},
		"a former record without a grace": {0, time.Second, time.Minute, true},
		"a grace beyond a duration":       {1 << 63, time.Second, time.Minute, true},
		"a clock that is behind":          {1 + uint64(time.Minute), -rules.ClockSkew, time.Minute, true},
		"a clock that was set back": {
			1 + uint64(time.Minute), -rules.ClockSkew - 1, time.Minute, false,
		},
		"a former record after the grace": {0, time.Hour, time.Minute, false},
	} {
		g := &records.Grant{Consumed: in(-c.since), Used: c.used}
		if got := rules.UsedAgain(g, c.grace, now); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
	code := grantstore.Ref{Type: grantstore.AuthorizationCode}
	if grace := rules.Grace(&grantstore.Consumption{Ref: code, Grace: time.Hour}); grace != 0 {
		t.Errorf("a code has a grace of %s, want none", grace)
	}
}

// whole is a grant with all fields set.
func whole() *records.Grant {
	return &records.Grant{
		RequestId: "r", SubjectId: "alice", SessionId: "sid", ClientId: "app", Description: "phone",
		Created: in(-time.Hour), Expires: in(time.Hour),
		Offline: true, TokenNumber: 3, Outlives: true, Data: []byte("sealed"), Access: []byte("access"),
		Began: in(-2 * time.Hour),
	}
}

func TestUsed(t *testing.T) {
	t.Parallel()
	before := whole()
	got, want := rules.Used(before, time.Minute, in(0)), whole()
	want.Consumed, want.Used = in(0), 1+uint64(time.Minute)
	if !proto.Equal(got, want) {
		t.Errorf("with a grace: %v, want %v", got, want)
	}
	want = &records.Grant{
		RequestId: "r", SessionId: "sid", ClientId: "app", Created: in(-time.Hour), Expires: in(time.Hour),
		Offline: true, TokenNumber: 3,
		Outlives: true, Consumed: in(0), Used: 1,
	}
	if got := rules.Used(before, 0, in(0)); !proto.Equal(got, want) {
		t.Errorf("without a grace: %v, want %v", got, want)
	}
	if !proto.Equal(before, whole()) {
		t.Errorf("the argument was modified: %v", before)
	}
}

func TestDeletedOnUse(t *testing.T) {
	t.Parallel()
	access := grantstore.Ref{Type: grantstore.ReferenceToken, Key: ticketstore.Key{7}}
	alone, together := &records.Grant{}, &records.Grant{Access: records.RefBytes(access)}
	for name, c := range map[string]struct {
		kind  grantstore.Type
		grant *records.Grant
		known bool
		types []grantstore.Type
	}{
		"a code": {
			grantstore.AuthorizationCode, alone, false,
			[]grantstore.Type{grantstore.OpenIDRequest, grantstore.PKCERequest},
		},
		"a refresh token with its access token": {grantstore.RefreshToken, together, true, nil},
		"a refresh token with no or several access tokens": {
			grantstore.RefreshToken, alone, false, []grantstore.Type{grantstore.ReferenceToken},
		},
	} {
		ref, known, types := rules.DeletedOnUse(c.kind, c.grant)
		if known != c.known || !slices.Equal(types, c.types) || (known && ref != access) {
			t.Errorf("%s: %v, %t, %v", name, ref, known, types)
		}
	}
	if !rules.Related(grantstore.PKCERequest) || !rules.Related(grantstore.OpenIDRequest) ||
		rules.Related(grantstore.ReferenceToken) {
		t.Error("want only OpenID and PKCE requests related to a code")
	}
}

func TestReuse(t *testing.T) {
	t.Parallel()
	const grace = time.Minute
	for name, c := range map[string]struct {
		kind   grantstore.Type
		since  time.Duration
		lines  int
		revoke bool
		want   error
	}{
		"within the grace": {grantstore.RefreshToken, time.Second, 1, false, nil},
		"up to the maximum of lines": {
			grantstore.RefreshToken, time.Second, grantstore.MaxLines - 1, false, nil,
		},
		"beyond the maximum of lines": {
			grantstore.RefreshToken, time.Second, grantstore.MaxLines, false, grantstore.ErrConsumed,
		},
		"its successors were revoked": {
			grantstore.RefreshToken, time.Second, 0, true, grantstore.ErrConsumed,
		},
		"after the grace": {grantstore.RefreshToken, grace + 1, 1, true, grantstore.ErrConsumed},
		"after the grace, beyond the maximum of lines": {
			grantstore.RefreshToken, grace + 1, grantstore.MaxLines, true, grantstore.ErrConsumed,
		},
		"a code, immediately after": {grantstore.AuthorizationCode, 1, 1, true, grantstore.ErrConsumed},
	} {
		g := &records.Grant{Consumed: in(-c.since), Used: 1 + uint64(grace)}
		consumption := &grantstore.Consumption{Ref: grantstore.Ref{Type: c.kind}, Grace: grace}
		revoke, err := rules.Reuse(g, consumption, c.lines, now)
		if revoke != c.revoke || !errors.Is(err, c.want) {
			t.Errorf("%s: revoke %t, error %v; want %t, %v", name, revoke, err, c.revoke, c.want)
		}
	}
}
