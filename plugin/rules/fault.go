package rules

// Faults of single records, for the check of every engine.

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var (
	phases  = []string{"", logout.PhaseSessions, logout.PhaseSurvivors, logout.PhaseGrants, logout.PhasePurge}
	settled = []logout.State{logout.Delivered, logout.Refused, logout.GivenUp}
)

// Faults returns what is wrong with a record, independent of other records. Records written by a store have
// no faults.
func Faults(kind transfer.Kind, key string, message proto.Message) (faults []string) {
	fault := func(broken bool, format string, args ...any) {
		if broken {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	switch m := message.(type) {
	case *records.Session:
		fault(m.SessionId != key, "is another session than its key says")
		fault(len(m.Key) != len(ticketstore.Key{}), "has no key of a cookie")
		fault(m.Created == 0 || m.Expires == 0 || m.Version == 0, "has no beginning, end or version")
	case *records.ClientUse:
		sid, client, _ := strings.Cut(key, "\x00")
		fault(sid == "" || client == "", "names no client")
	case *records.Ended:
		most := records.Survivors_SURVIVORS_UNSPECIFIED
		for _, client := range m.Clients {
			most = max(most, client.Survivors)
		}
		fault(m.When == 0 || m.SubjectId == "", "does not say whose session ended, and when")
		fault(most != m.Survivors, "says %s, and of its clients %s", m.Survivors, most)
	case *records.Grant:
		_, ok := records.RefOf(key)
		fault(!ok, "has a key that is none of a grant")
		fault(m.Created == 0, "does not say when it was stored")
	case *records.Job:
		fault(!slices.Contains(phases, m.Phase), "is in a phase that does not exist")
		fault(m.Phase == "" && m.Error != "", "is done and has failed")
	case *records.Notification:
		pending, over := m.State == string(logout.Pending), slices.Contains(settled, logout.State(m.State))
		fault(!pending && !over, "is in a state that does not exist")
		fault(pending && m.Due == 0, "waits, and is due never")
		fault(over && (m.Due != 0 || m.Claimed), "is settled, and would be sent again")
		fault(over && m.PurgeAt == 0, "is settled, and would be kept for ever")
		fault(m.ClientId == "" || m.SessionId == "", "names no client or no session")
	case *records.Property:
		if kind == transfer.Properties {
			err := ticketstore.CheckProperty(key, m.GetValue())
			fault(err != nil, "is none that a host could have written: %v", err)
			fault(len(m.GetValue()) == 0, "has no value")
		}
	}
	return faults
}
