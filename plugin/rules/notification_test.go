package rules_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

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
		"delivered, with a second delivery": {
			in(time.Minute), logout.Outcome{State: logout.Delivered},
			&records.Notification{State: string(logout.Pending), NextAttempt: in(time.Minute)},
		},
		"delivered late, with a second delivery": {
			in(-time.Minute), logout.Outcome{State: logout.Delivered},
			&records.Notification{State: string(logout.Pending), NextAttempt: in(0)},
		},
		"failed, with a retry": {
			in(time.Minute),
			logout.Outcome{State: logout.Pending, NextAttempt: now.Add(time.Hour), LastError: "503"},
			&records.Notification{
				State: string(logout.Pending), NextAttempt: in(time.Hour), Again: in(time.Minute),
				LastError: "503",
			},
		},
		"refused": {
			in(time.Minute), logout.Outcome{State: logout.Refused, LastError: "400"},
			&records.Notification{
				State: string(logout.Refused), LastError: "400", PurgeAt: in(logout.NotificationRetention),
			},
		},
	} {
		n := &records.Notification{
			State: string(logout.Pending), Again: c.again, NextAttempt: in(0), Claim: 5, Claimed: true,
			Due: in(time.Minute),
		}
		if err := rules.Settle(n, 5, &c.outcome, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c.want.Attempts, c.want.LastAttempt, c.want.Claim, c.want.Due = 1, in(0), 5, c.want.NextAttempt
		if !proto.Equal(n, c.want) {
			t.Errorf("%s: %v, want %v", name, n, c.want)
		}
	}
	for name, before := range map[string]*records.Notification{
		"claimed again":         {Claim: 6, Claimed: true},
		"settled or sent again": {Claim: 5},
		"under a later number":  {Claim: 4, Claimed: true},
	} {
		n := proto.CloneOf(before)
		err := rules.Settle(n, 5, &logout.Outcome{State: logout.Delivered}, now)
		if !errors.Is(err, logout.ErrOutdated) || !proto.Equal(n, before) {
			t.Errorf("%s: error %v and %v, want ErrOutdated and nothing changed", name, err, n)
		}
	}
}

func TestSendAgain(t *testing.T) {
	t.Parallel()
	n := &records.Notification{
		State: string(logout.GivenUp), Attempts: 9, LastError: "503", PurgeAt: 1, Claim: 5, Claimed: true,
	}
	rules.SendAgain(n, now)
	want := &records.Notification{
		State: string(logout.Pending), NextAttempt: in(0), Due: in(0), GiveUpAt: in(logout.RetryWindow),
		Claim: 5,
	}
	if !proto.Equal(n, want) {
		t.Errorf("a notification given up: %v, want %v", n, want)
	}
	again := &records.Notification{
		State: string(logout.Pending), Attempts: 1, NextAttempt: in(10 * time.Second),
	}
	rules.SendAgain(again, now)
	if again.Again != in(10*time.Second) || again.NextAttempt != in(0) {
		t.Errorf("a pending second delivery: %v, want both deliveries", again)
	}
	for name, n := range map[string]*records.Notification{
		"failed before":       {Attempts: 1, LastError: "503", NextAttempt: in(time.Second)},
		"never sent":          {NextAttempt: in(time.Second)},
		"second delivery due": {Attempts: 1, NextAttempt: in(0)},
	} {
		n.State = string(logout.Pending)
		if rules.SendAgain(n, now); n.Again != 0 {
			t.Errorf("%s: delivered twice: %v", name, n)
		}
	}
}

func TestClaimAndRelease(t *testing.T) {
	t.Parallel()
	n := &records.Notification{State: string(logout.Pending), NextAttempt: in(0), Due: in(0), Claim: 4}
	rules.Claim(n, now.Add(time.Minute))
	if n.Claim != 5 || !n.Claimed || n.Due != in(time.Minute) {
		t.Errorf("claimed: %v", n)
	}
	rules.Release(n)
	if n.Claim != 5 || n.Claimed || n.Due != in(0) {
		t.Errorf("released: %v", n)
	}
	n = &records.Notification{State: string(logout.Delivered), Due: 1, NextAttempt: 1}
	if rules.Release(n); n.Due != 0 {
		t.Errorf("a settled notification is due: %v", n)
	}
}

// The retry window of a notification that was not claimed within it begins with its first claim.
func TestClaimAfterTheRetryWindow(t *testing.T) {
	t.Parallel()
	lease := time.Minute
	for name, c := range map[string]struct {
		claim  uint64
		giveUp int64
		want   int64
	}{
		"never claimed, window over":                 {0, in(-time.Hour), in(lease + logout.RetryWindow)},
		"never claimed, window ends with the lease":  {0, in(lease), in(lease + logout.RetryWindow)},
		"never claimed, window ends after the lease": {0, in(lease + 1), in(lease + 1)},
		"claimed before, window over":                {1, in(-time.Hour), in(-time.Hour)},
		"without a window":                           {0, 0, 0},
	} {
		n := &records.Notification{Claim: c.claim, GiveUpAt: c.giveUp}
		if rules.Claim(n, now.Add(lease)); n.GiveUpAt != c.want {
			t.Errorf("%s: given up at %s, want %s", name, records.Moment(n.GiveUpAt), records.Moment(c.want))
		}
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	pending, failed := string(logout.Pending), string(logout.GivenUp)
	all := logout.NotificationFilter{State: logout.GivenUp, ClientID: "app", SessionID: "sid"}
	for name, c := range map[string]struct {
		n      *records.Notification
		filter logout.NotificationFilter
		want   bool
	}{
		"given up": {
			&records.Notification{State: failed}, logout.NotificationFilter{ClientID: "app"}, true,
		},
		"all conditions":  {&records.Notification{State: failed}, all, true},
		"another state":   {&records.Notification{State: string(logout.Refused)}, all, false},
		"another client":  {&records.Notification{State: failed, ClientId: "b"}, all, false},
		"another session": {&records.Notification{State: failed, SessionId: "b"}, all, false},
		"queued since":    {&records.Notification{State: failed, Queued: in(1)}, all, false},
		"waits for a retry": {
			&records.Notification{State: pending, NextAttempt: in(1)}, logout.NotificationFilter{}, true,
		},
		"already due": {
			&records.Notification{State: pending, NextAttempt: in(0)}, logout.NotificationFilter{}, false,
		},
		"being delivered": {
			&records.Notification{State: pending, NextAttempt: in(1), Claimed: true},
			logout.NotificationFilter{}, false,
		},
		"settled while claimed": {
			&records.Notification{State: failed, Claimed: true}, logout.NotificationFilter{}, true,
		},
	} {
		if c.n.ClientId == "" {
			c.n.ClientId = "app"
		}
		if c.n.SessionId == "" {
			c.n.SessionId = "sid"
		}
		if c.n.Queued == 0 {
			c.n.Queued = in(0)
		}
		if got := rules.Retries(&c.filter, c.n, now); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestNotificationID(t *testing.T) {
	t.Parallel()
	ids := []string{
		rules.NotificationID(now, 1), rules.NotificationID(now, 0x10), rules.NotificationID(now.Add(1), 0),
		rules.NotificationID(now.Add(time.Hour), 0),
	}
	for i, id := range ids[1:] {
		if len(id) != len(ids[0]) || id <= ids[i] {
			t.Errorf("%s does not sort after %s", id, ids[i])
		}
	}
}
