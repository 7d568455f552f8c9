package rules_test

// Faults of single records.

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	cookie := make([]byte, 32)
	grant := "\x04" + string(cookie)
	whole := func(sid string) *records.Session {
		return &records.Session{SessionId: sid, Key: cookie, Created: 1, Expires: 2, Version: 1}
	}
	for name, c := range map[string]struct {
		kind    transfer.Kind
		key     string
		message proto.Message
		says    []string // a part of each fault
	}{
		"a session": {
			transfer.Sessions, "s", whole("s"), nil,
		},
		"another session": {
			transfer.Sessions, "s", whole("t"), []string{"another session"},
		},
		"an empty session": {
			transfer.Sessions, "s", &records.Session{SessionId: "s"}, []string{"cookie", "beginning"},
		},
		"a session without a beginning": {
			transfer.Sessions, "s", &records.Session{SessionId: "s", Key: cookie, Expires: 2, Version: 1},
			[]string{"beginning"},
		},
		"a session without an end": {
			transfer.Sessions, "s", &records.Session{SessionId: "s", Key: cookie, Created: 1, Version: 1},
			[]string{"end"},
		},
		"a session without a version": {
			transfer.Sessions, "s", &records.Session{SessionId: "s", Key: cookie, Created: 1, Expires: 2},
			[]string{"version"},
		},
		"no session":      {transfer.Clients, "\x00c", &records.ClientUse{}, []string{"no client"}},
		"a client":        {transfer.Clients, "s\x00c", &records.ClientUse{}, nil},
		"no id":           {transfer.Clients, "s", &records.ClientUse{}, []string{"no client"}},
		"an ended record": {transfer.Ended, "s", &records.Ended{When: 1, SubjectId: "ann"}, nil},
		"an ended record with survivors": {
			transfer.Ended, "s", &records.Ended{
				When: 1, SubjectId: "ann", Survivors: records.Survivors_SURVIVORS_ALL,
				Clients: []*records.EndedClient{{Survivors: records.Survivors_SURVIVORS_ALL}},
			}, nil,
		},
		"an ended record without a time": {
			transfer.Ended, "s", &records.Ended{SubjectId: "ann"}, []string{"when"},
		},
		"an ended record without a subject": {
			transfer.Ended, "s", &records.Ended{When: 1}, []string{"whose session"},
		},
		"an ended record with contradictions": {
			transfer.Ended, "s", &records.Ended{Survivors: records.Survivors_SURVIVORS_ALL},
			[]string{"whose session", "of its clients"},
		},
		"a grant":     {transfer.Grants, grant, &records.Grant{Created: 1}, nil},
		"not a grant": {transfer.Grants, "x", &records.Grant{}, []string{"none of a grant", "stored"}},
		"a job":       {transfer.Jobs, "o", &records.Job{Phase: "sessions"}, nil},
		"a job in an unknown phase": {
			transfer.Jobs, "o", &records.Job{Phase: "unknown"}, []string{"phase"},
		},
		"a job that is done": {transfer.Jobs, "o", &records.Job{}, nil},
		"a failed job that waits": {
			transfer.Jobs, "o", &records.Job{Phase: "sessions", Error: "x"}, nil,
		},
		"a done job that failed": {transfer.Jobs, "o", &records.Job{Error: "x"}, []string{"failed"}},
		"a notification": {
			transfer.Notifications, "n",
			&records.Notification{State: "pending", Due: 1, ClientId: "c", SessionId: "s"},
			nil,
		},
		"a settled notification": {
			transfer.Notifications, "n",
			&records.Notification{State: "delivered", PurgeAt: 1, ClientId: "c", SessionId: "s"}, nil,
		},
		"a settled notification that is claimed": {
			transfer.Notifications, "n", &records.Notification{
				State: "delivered", PurgeAt: 1, ClientId: "c", SessionId: "s", Claimed: true,
			}, []string{"sent again"},
		},
		"a notification without a client": {
			transfer.Notifications, "n", &records.Notification{State: "pending", Due: 1, SessionId: "s"},
			[]string{"no client"},
		},
		"a notification without a session": {
			transfer.Notifications, "n", &records.Notification{State: "pending", Due: 1, ClientId: "c"},
			[]string{"no session"},
		},
		"a notification that is never due": {
			transfer.Notifications, "n",
			&records.Notification{State: "pending", ClientId: "c", SessionId: "s"},
			[]string{"due never"},
		},
		"a notification that is never purged": {
			transfer.Notifications, "n", &records.Notification{State: "delivered", Due: 1},
			[]string{"sent again", "for ever", "no client"},
		},
		"a notification in an unknown state": {
			transfer.Notifications, "n", &records.Notification{State: "lost", ClientId: "c", SessionId: "s"},
			[]string{"state"},
		},
		"a property": {transfer.Properties, "issuer", &records.Property{Value: []byte("x")}, nil},
		"no value":   {transfer.Properties, "issuer", &records.Property{}, []string{"no value"}},
		"a bad name": {transfer.Properties, "A", &records.Property{Value: []byte("x")}, []string{"host"}},
	} {
		faults := rules.Faults(c.kind, c.key, c.message)
		if !slices.EqualFunc(faults, c.says, strings.Contains) {
			t.Errorf("%s: %q, want %q", name, faults, c.says)
		}
	}
}
