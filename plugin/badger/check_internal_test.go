package badger

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
)

// Check compares the database with what its rows say should be in it: every index entry belongs to a row, every row has its entries.
func (e *Engine) Check(ctx context.Context) (problems []string) {
	_ = e.look(ctx, func(r reader) error {
		want, counts := map[string]bool{}, map[string]int{}
		add := func(k []byte) { want[string(k)] = true }
		each(r, tableSession, func() *recordpb.Session { return &recordpb.Session{} }, func(_ string, s *recordpb.Session) {
			add(sessionKey(s.SessionId))
			add(key(tableCookie, s.Key))
			add(sessionPosition(indexListing, nil, s))
			add(sessionPosition(indexSubject, more(s.SubjectId), s))
			add(key(indexExpiry, timeKey(s.IndexedDue), last(s.SessionId)))
			counts[""]++
			clients, _ := clientsOf(r, s.SessionId)
			for _, c := range clients {
				add(clientUseKey(s.SessionId, c.id))
				if !c.use.Detached {
					add(sessionPosition(indexClient, more(c.id), s))
					counts[c.id]++
				}
			}
		})
		each(r, tableEnded, func() *recordpb.Ended { return &recordpb.Ended{} }, func(sid string, ended *recordpb.Ended) {
			add(endedKey(sid))
			if ended.Survivors != recordpb.Survivors_SURVIVORS_NONE {
				add(key(indexEndedSubject, more(ended.SubjectId), last(sid)))
			}
		})
		families := map[string][]string{}
		each(r, tableGrant, func() *recordpb.Grant { return &recordpb.Grant{} }, func(id string, g *recordpb.Grant) {
			ref, _ := refOf([]byte(id))
			add(grantKey(ref))
			for _, k := range grantIndexes(ref, g) {
				add(k)
			}
			if g.RequestId != "" && ref.Type.IsToken() && g.Consumed == 0 {
				families[g.RequestId] = append(families[g.RequestId], id)
				add(familyKey(g.RequestId))
			}
		})
		each(r, tableFamily, func() *recordpb.Family { return &recordpb.Family{} }, func(id string, f *recordpb.Family) {
			got := []string{}
			for _, m := range f.Members {
				got = append(got, string(m))
			}
			slices.Sort(got)
			slices.Sort(families[id])
			if !slices.Equal(got, families[id]) {
				problems = append(problems, fmt.Sprintf("family %q has %d members, want %d", id, len(got), len(families[id])))
			}
		})
		each(r, tableOperation, func() *recordpb.Operation { return &recordpb.Operation{} }, func(id string, o *recordpb.Operation) {
			add(operationKey(id))
			add(key(indexOperationAge, timeKey(o.When), last(id)))
		})
		each(r, tableJob, func() *recordpb.Job { return &recordpb.Job{} }, func(id string, job *recordpb.Job) {
			add(jobKey(id))
			if job.Phase != "" {
				add(key(indexJobRunning, last(id)))
			} else {
				add(jobAgeKey(id, job))
			}
		})
		each(r, tableNotice, func() *recordpb.Notification { return &recordpb.Notification{} }, func(id string, n *recordpb.Notification) {
			add(noticeKey(id))
			add(key(indexNoticeClient, more(n.ClientId), last(id)))
			add(key(indexNoticeSession, more(n.SessionId), last(id)))
			add(key(indexNoticeState, more(n.State), last(id)))
			if n.Due != 0 {
				add(key(indexNoticeDue, more(n.ClientId), timeKey(n.Due), last(id)))
			}
			if n.PurgeAt != 0 {
				add(key(indexNoticePurge, timeKey(n.PurgeAt), last(id)))
			}
		})
		contents, _, _ := loadContents(r)
		actual, err := countContents(ctx, r)
		if err != nil || !maps.Equal(contents, actual) {
			problems = append(problems, fmt.Sprintf("contents %v, want %v (%v)", contents, actual, err))
		}
		looks := map[string]int{}
		_ = r.scan(nil, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
			name := string(k)
			switch {
			case tableOf(k) == nil:
				problems = append(problems, fmt.Sprintf("key of no table: %q", name))
			case name[:1] == "m", name[:1] == "j", name[:1] == "p", name[:1] == "z":
			case name[:1] == "n":
				n, _ := counted(r, name[1:])
				if n != counts[name[1:]] {
					problems = append(problems, fmt.Sprintf("count of %q is %d, want %d", name[1:], n, counts[name[1:]]))
				}
			case len(name) > 1 && name[:2] == "ex":
				looks[name[10:]]++
			case !want[name]:
				problems = append(problems, fmt.Sprintf("entry that belongs to nothing: %q", name))
			}
			delete(want, name)
			return true, nil
		})
		each(r, tableEnded, func() *recordpb.Ended { return &recordpb.Ended{} }, func(sid string, _ *recordpb.Ended) {
			looks[sid]--
		})
		for sid, n := range looks {
			if n != 0 {
				problems = append(problems, fmt.Sprintf("ended record %q: %d looks too many", sid, n))
			}
		}
		for name := range want {
			problems = append(problems, fmt.Sprintf("entry missing: %q", name))
		}
		return nil
	})
	return problems
}

func each[M proto.Message](r reader, table []byte, empty func() M, f func(id string, m M)) {
	_ = r.scan(table, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
		v, _ := value()
		m := empty()
		if err := decode(k, v, m); err != nil {
			return false, err
		}
		f(string(k[len(table):]), m)
		return true, nil
	})
}
