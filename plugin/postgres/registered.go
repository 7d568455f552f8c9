package postgres

// Registrations that an ending or a sweep needs before it ends sessions (rule 6).

import (
	"context"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	clientsOfSession = "SELECT client FROM {s}.client_uses WHERE sid = $1 ORDER BY client"
	clientsOfSubject = `SELECT DISTINCT u.client FROM {s}.sessions s JOIN {s}.client_uses u ON u.sid = s.sid
		WHERE s.subject = $1 ORDER BY u.client`
	clientsOfAll = `SELECT client FROM {s}.client_counts GROUP BY client HAVING sum(sessions) > 0
		ORDER BY client LIMIT $1`
)

// missing returns the clients whose registrations an ending needs first, or none if the ending was carried
// out before.
func (e *Engine) missing(ctx context.Context, ending *logout.Ending, now time.Time) ([]string, error) {
	return view(ctx, e, now, nil, func(t *tx) ([]string, error) {
		id := ending.OperationID
		job := t.job(id)
		if job.GetPhase() != "" || rules.CompletedResult(id, t.operation(id), job) != nil {
			return nil, nil
		}
		var clients []string
		switch {
		case ending.All:
			clients = t.strings(clientsOfAll, ticketstore.MaxRegistrations+1)
		case ending.SessionID != "":
			clients = t.strings(clientsOfSession, ending.SessionID)
		default:
			clients = t.strings(clientsOfSubject, ending.SubjectID)
		}
		asking := rules.Missing{Registered: ending.Registered}
		asking.Collect(clients)
		return asking.Clients, nil
	})
}

// leave returns the sessions whose clients are all known, and those that are not due: they are only moved in
// the index.
func (t *tx) leave(sids []string, asking *rules.Missing) []string {
	t.needSessions(sids)
	return slices.DeleteFunc(sids, func(sid string) bool {
		session := t.session(sid)
		if session == nil || rules.Live(session, t.now) {
			return false
		}
		var clients []string
		for _, r := range t.clients(sid) {
			_, client := splitClient(r.key)
			clients = append(clients, client)
		}
		return asking.Collect(clients)
	})
}
