package memory_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/storetest"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

var start = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

func record(t *testing.T, kind transfer.Kind, key string, message proto.Message) transfer.Record {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return transfer.Record{Kind: kind, Key: []byte(key), Data: data}
}

func grantKey(kind, number byte) string {
	key := make([]byte, 33)
	key[0], key[1] = kind, number
	return string(key)
}

// halfDone returns the records of a store during a removal of all sessions: one has ended, with a remaining
// row of a dead grant; two sessions and a consent remain.
func halfDone(t *testing.T) (list []transfer.Record) {
	t.Helper()
	at := start.UnixNano()
	later := start.Add(time.Hour).UnixNano()
	for i, sid := range []string{"b", "c"} {
		key := make([]byte, 32)
		key[0] = byte(i + 1)
		list = append(list,
			record(t, transfer.Sessions, sid, &records.Session{
				Key: key, SessionId: sid, SubjectId: "subject " + sid, Issuer: "https://op.example",
				AuthTime: at, Created: at, Renewed: at,
				Expires: later, Version: 1,
			}),
			record(t, transfer.Clients, sid+"\x00app",
				&records.ClientUse{FirstUsed: at, LastUsed: at}),
			record(t, transfer.Grants, grantKey(5, byte(i+1)), &records.Grant{
				RequestId: "r " + sid, SubjectId: "subject " + sid, SessionId: sid, ClientId: "app",
				Created: at, Expires: later,
			}),
		)
	}
	return append(list,
		record(t, transfer.Ended, "a",
			&records.Ended{SubjectId: "subject a", When: at, Reason: "terminated"}),
		record(t, transfer.Grants, grantKey(5, 9), &records.Grant{
			RequestId: "r a", SubjectId: "subject a", SessionId: "a", ClientId: "app", Created: at,
			Expires: later,
		}),
		transfer.Record{Kind: transfer.Purges, Key: []byte("a"), Data: []byte("job")},
		record(t, transfer.Grants, grantKey(6, 1),
			&records.Grant{SubjectId: "subject b", ClientId: "app", Created: at}),
		record(t, transfer.Jobs, "job", &records.Job{
			Now: at, All: true, Reason: "terminated", Phase: logout.PhaseSessions, Total: 3, LookedAt: 1,
			Registered: []*records.Registration{{ClientId: "app", Notify: true}}, // since its last use
			Last:       append(binary.BigEndian.AppendUint64(nil, uint64(at)^1<<63), 'c'),
			Done: &records.EndingResult{
				SessionsRemoved: 1, NotificationsQueued: 1,
				Ended: []*records.EndedSession{{SessionId: "a", SubjectId: "subject a"}},
			},
		}),
	)
}

// A job begun by one engine is completed by the other, with the counts of an uninterrupted job.
func TestJobsResumeInAnotherEngine(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) storetest.Fixture{
		"memory": movable, "badger": movableBadger,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, ctx := open(t), t.Context()
			become := func(to transfer.State) {
				t.Helper()
				turn := transfer.Transition{To: to, ID: "move", Peer: "other"}
				if err := b.Transfer.Become(ctx, turn); err != nil {
					t.Fatal(err)
				}
			}
			become(transfer.Importing)
			records := halfDone(t)
			batch := func(yield func([]transfer.Record, error) bool) { yield(records, nil) }
			err := b.Transfer.Import(ctx, "move", batch)
			if err != nil {
				t.Fatal(err)
			}
			become(transfer.Active)
			var job *logout.Job
			testenv.Eventually(t, "the job is done", func() bool {
				if job, err = b.Logout.Job(ctx, "job"); err != nil {
					t.Fatal(err)
				}
				return job.State == logout.JobDone
			})
			want := &logout.Job{ID: "job", State: logout.JobDone, Started: start, Total: 3, Done: 3}
			want.Result = logout.Result{
				SessionsRemoved: 3, GrantsRevoked: 3, ConsentsRevoked: 1, NotificationsQueued: 3,
				Ended: []logout.EndedSession{
					{SessionID: "a", SubjectID: "subject a"}, {SessionID: "b", SubjectID: "subject b"},
					{SessionID: "c", SubjectID: "subject c"},
				},
			}
			if diff := cmp.Diff(want, job, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the job is not as expected (-want +got):\n%s", diff)
			}
		})
	}
}
