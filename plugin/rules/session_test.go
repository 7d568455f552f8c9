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

func TestLive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		session *records.Session
		want    bool
	}{
		"ended":                {nil, false},
		"before Expires":       {&records.Session{Expires: in(1)}, true},
		"at Expires":           {&records.Session{Expires: in(0)}, false},
		"before both":          {&records.Session{Expires: in(2), EndsAt: in(1)}, true},
		"at EndsAt":            {&records.Session{Expires: in(time.Hour), EndsAt: in(0)}, false},
		"EndsAt after Expires": {&records.Session{Expires: in(0), EndsAt: in(time.Hour)}, false},
		"no absolute timeout":  {&records.Session{Expires: in(time.Hour)}, true},
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
		want    time.Duration // of Expires; 0: not renewed
	}{
		"used after a while":     {session(-hour, hour, 0), 2 * hour},
		"at the throttle":        {session(-time.Minute, hour, 0), 2 * hour},
		"renewed recently":       {session(-time.Minute+1, hour, 0), 0},
		"up to its absolute end": {session(-hour, hour, 90*time.Minute), 90 * time.Minute},
		"at its absolute end":    {session(-hour, hour, hour), 0},
		"would not extend it":    {session(-hour, 2*hour, 0), 0},
		"expired":                {session(-hour, 0, 0), 0},
		"ended":                  {nil, 0},
	} {
		before := proto.CloneOf(c.session)
		slide := &grantstore.Slide{Expires: now.Add(2 * hour), RenewedBefore: now.Add(-time.Minute)}
		slid := rules.Slide(c.session, slide, now)
		switch {
		case (slid != nil) != (c.want != 0):
			t.Errorf("%s: renewed to %v, want none", name, slid)
		case slid != nil && (slid.Expires != in(c.want) || slid.Renewed != in(0) || slid.Version != 8):
			t.Errorf("%s: %v", name, slid)
		case !proto.Equal(before, c.session):
			t.Errorf("%s: the argument became %v, was %v", name, c.session, before)
		}
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sidOfKey string
		taken    bool
		again    bool
		want     error
	}{
		"new":                             {"", false, false, nil},
		"its answer was lost":             {"sid", true, true, nil},
		"another session has the key":     {"other", false, false, ticketstore.ErrExists},
		"another session has the sid":     {"", true, false, ticketstore.ErrExists},
		"others have the key and the sid": {"other", true, false, ticketstore.ErrExists},
	} {
		again, err := rules.Create(&ticketstore.Session{SessionID: "sid"}, c.sidOfKey, c.taken)
		if again != c.again || !errors.Is(err, c.want) {
			t.Errorf("%s: again %t, error %v; want %t, %v", name, again, err, c.again, c.want)
		}
	}
}

func TestNewSession(t *testing.T) {
	t.Parallel()
	given := &ticketstore.Session{Key: ticketstore.Key{1}, SessionID: "sid", SubjectID: "alice", Version: 9}
	want := records.FromSession(given)
	want.Version = 1
	if s := rules.NewSession(given); !proto.Equal(s, want) {
		t.Errorf("%v, want %v", s, want)
	}
}

func TestExcess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		live  int
		limit ticketstore.Limit
		want  int
		err   error
	}{
		"empty":                 {0, ticketstore.Limit{Max: 2}, 0, nil},
		"below the limit":       {1, ticketstore.Limit{Max: 2, EndOldest: true}, 0, nil},
		"full":                  {2, ticketstore.Limit{Max: 2, EndOldest: true}, 1, nil},
		"above the limit":       {5, ticketstore.Limit{Max: 2, EndOldest: true}, 4, nil},
		"at the limit, refused": {2, ticketstore.Limit{Max: 2}, 0, ticketstore.ErrTooManySessions},
	} {
		if got, err := rules.Excess(c.live, &c.limit); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %d, error %v; want %d, %v", name, got, err, c.want, c.err)
		}
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		expires, endsAt, until time.Duration
		version                uint64
		want                   time.Duration
		err                    error
	}{
		"later":                  {time.Hour, 0, 2 * time.Hour, 7, 2 * time.Hour, nil},
		"earlier":                {2 * time.Hour, 0, time.Hour, 7, 2 * time.Hour, nil},
		"limited by EndsAt":      {time.Hour, 90 * time.Minute, 2 * time.Hour, 7, 90 * time.Minute, nil},
		"over":                   {0, 0, time.Hour, 7, 0, ticketstore.ErrExpired},
		"expired and changed":    {0, 0, time.Hour, 6, 0, ticketstore.ErrExpired},
		"changed since the read": {time.Hour, 0, 2 * time.Hour, 6, time.Hour, ticketstore.ErrConflict},
	} {
		s := &records.Session{Expires: in(c.expires), Version: 7}
		if c.endsAt != 0 {
			s.EndsAt = in(c.endsAt)
		}
		want := proto.CloneOf(s)
		if want.Expires = in(c.want); c.err == nil {
			want.Renewed, want.Version = in(0), 8
		}
		err := rules.Renew(s, &ticketstore.Renewal{Version: c.version, Expires: now.Add(c.until)}, now)
		if !errors.Is(err, c.err) || !proto.Equal(s, want) {
			t.Errorf("%s: %v, error %v; want %v, %v", name, s, err, want, c.err)
		}
	}
}

func TestRekey(t *testing.T) {
	t.Parallel()
	session := func() *records.Session {
		return &records.Session{
			Key: append(make([]byte, 31), 1), SessionId: "sid", SubjectId: "alice",
			Issuer: "https://op.example", AuthTime: in(-time.Hour),
			Created: in(-time.Hour), Renewed: in(-time.Hour), Expires: in(time.Hour), Version: 7,
			IndexedDue: in(time.Minute),
		}
	}
	rekey := ticketstore.Rekey{
		Version: 7, NewKey: ticketstore.Key{2}, AuthTime: now, ACR: "2", Expires: now.Add(2 * time.Hour),
		Ticket: []byte("sealed"),
	}
	next, err := rules.Rekey(session(), &rekey, false, now)
	if err != nil {
		t.Fatal(err)
	}
	want := session()
	want.Key, want.AuthTime, want.Acr, want.Ticket = rekey.NewKey[:], in(0), "2", rekey.Ticket
	want.Expires = in(2 * time.Hour)
	want.Renewed, want.Version = in(0), 8
	if !proto.Equal(next, want) {
		t.Errorf("%v, want %v", next, want)
	}
	for name, c := range map[string]struct {
		change func(s *records.Session, r *ticketstore.Rekey)
		want   error
	}{
		"over": {
			func(s *records.Session, _ *ticketstore.Rekey) { s.Expires = in(0) }, ticketstore.ErrExpired,
		},
		"changed": {
			func(s *records.Session, _ *ticketstore.Rekey) { s.Version++ }, ticketstore.ErrConflict,
		},
		"to a zero key": {
			func(_ *records.Session, r *ticketstore.Rekey) { r.NewKey = ticketstore.Key{} },
			ticketstore.ErrInvalid,
		},
		"to the key of another session": {
			func(*records.Session, *ticketstore.Rekey) {}, ticketstore.ErrExists,
		},
		"expired, to the key of another session": {
			func(s *records.Session, _ *ticketstore.Rekey) { s.Expires = in(0) }, ticketstore.ErrExpired,
		},
		"to its own key": {
			func(s *records.Session, r *ticketstore.Rekey) { r.Key, s.Key = r.NewKey, r.NewKey[:] }, nil,
		},
	} {
		s, r := session(), rekey
		c.change(s, &r)
		if _, err := rules.Rekey(s, &r, true, now); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

func TestAttach(t *testing.T) {
	t.Parallel()
	live := &records.Session{Expires: in(time.Hour)}
	for name, c := range map[string]struct {
		session *records.Session
		use     *records.ClientUse
		others  int
		want    *records.ClientUse
		err     error
	}{
		"a first use": {live, nil, 0, &records.ClientUse{FirstUsed: in(0), LastUsed: in(0)}, nil},
		"a use beside others": {
			live, nil, ticketstore.MaxClients - 1, &records.ClientUse{FirstUsed: in(0), LastUsed: in(0)}, nil,
		},
		"beyond the maximum of clients": {
			live, nil, ticketstore.MaxClients, nil, ticketstore.ErrTooManyClients,
		},
		"a known client": {
			live, &records.ClientUse{FirstUsed: 1, LastUsed: 2, TokenNumber: 3, Notify: true},
			ticketstore.MaxClients,
			&records.ClientUse{FirstUsed: 1, LastUsed: in(0), TokenNumber: 3, Notify: true}, nil,
		},
		"a detached client": {
			live, &records.ClientUse{FirstUsed: 1, LastUsed: 2, TokenNumber: 3, Detached: true}, 1,
			&records.ClientUse{FirstUsed: 1, LastUsed: in(0), TokenNumber: 3}, nil,
		},
		"an earlier clock": {
			live, &records.ClientUse{LastUsed: in(time.Second)}, 1,
			&records.ClientUse{LastUsed: in(time.Second)}, nil,
		},
		"ended": {nil, nil, 0, nil, grantstore.ErrSessionEnded},
		"over":  {&records.Session{Expires: in(0)}, &records.ClientUse{}, 1, nil, grantstore.ErrSessionEnded},
	} {
		got, err := rules.Attach(c.session, c.use, c.others, now)
		if !errors.Is(err, c.err) || (err == nil && !proto.Equal(got, c.want)) {
			t.Errorf("%s: %v, error %v; want %v, %v", name, got, err, c.want, c.err)
		}
	}
}

func TestRegistered(t *testing.T) {
	t.Parallel()
	use := &records.ClientUse{TokenNumber: 3, Notify: true}
	rules.Registered(use, &grantstore.Use{Coordinated: true, Muted: ticketstore.EndByExpiry})
	want := &records.ClientUse{TokenNumber: 3, Coordinated: true, Muted: uint32(ticketstore.EndByExpiry)}
	if !proto.Equal(use, want) {
		t.Errorf("%v, want %v", use, want)
	}
}

func TestSetProperty(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		now, old, value string
		others          int
		want            bool
		err             error
	}{
		"new":                      {"", "", "a", 0, true, nil},
		"the maximum":              {"", "", "a", ticketstore.MaxProperties - 1, true, nil},
		"one too many":             {"", "", "a", ticketstore.MaxProperties, false, ticketstore.ErrInvalid},
		"replaced in a full store": {"a", "a", "b", ticketstore.MaxProperties, true, nil},
		"removed":                  {"a", "a", "", 1, true, nil},
		"its answer was lost":      {"b", "a", "b", 1, false, nil},
		"changed by another host":  {"c", "a", "b", 1, false, ticketstore.ErrConflict},
		"removed by another host":  {"", "a", "b", 0, false, ticketstore.ErrConflict},
		"created by another host":  {"c", "", "b", 1, false, ticketstore.ErrConflict},
	} {
		got, err := rules.SetProperty([]byte(c.now), []byte(c.old), []byte(c.value), c.others)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %t, error %v; want %t, %v", name, got, err, c.want, c.err)
		}
	}
}
