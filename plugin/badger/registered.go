package badger

// Clients whose registrations endings and sweeps need. They are read before the transaction that ends a
// session: a client that uses the session in between was just looked up, and its row has its registration.

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// missing returns the clients whose registrations an ending needs first, or none if the ending was carried
// out before.
func (e *Engine) missing(ctx context.Context, ending *logout.Ending) ([]string, error) {
	return read(ctx, e, nil, func(r *kv.Snapshot) ([]string, error) {
		known, underWay, err := recall(r, ending.OperationID)
		if err != nil || known != nil || underWay != nil {
			return nil, err
		}
		clients, err := clientsToEnd(r, ending)
		slices.Sort(clients)
		asking := rules.Missing{Registered: ending.Registered}
		asking.Collect(slices.Compact(clients))
		return asking.Clients, err
	})
}

func clientsToEnd(r kv.Reader, ending *logout.Ending) (clients []string, err error) {
	sids := []string{ending.SessionID}
	switch {
	case ending.All:
		return clientsCounted(r)
	case ending.SessionID == "":
		if sids, err = sessionsOfSubject(r, ending.SubjectID); err != nil {
			return nil, err
		}
	}
	for _, sid := range sids {
		used, err := clientsOf(r, sid)
		if err != nil {
			return nil, err
		}
		for _, client := range used {
			clients = append(clients, client.ID)
		}
	}
	return clients, nil
}

// clientsCounted returns the clients that have sessions, from their counts.
func clientsCounted(r kv.Reader) (clients []string, err error) {
	table := layout.TableCount
	err = r.Scan(table, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
		v, err := value()
		// The count of all sessions has no client.
		if n, _ := binary.Varint(v); n > 0 && len(k) > len(table) {
			clients = append(clients, string(k[len(table):]))
		}
		return true, err
	})
	return clients, err
}

// withRegistrations returns the sessions whose clients are all known, and those that are not due: they are
// only moved in the index.
func withRegistrations(
	r kv.Reader, due []dueEntry, asking *rules.Missing, now time.Time,
) (rest []dueEntry, err error) {
	for _, d := range due {
		session, loadErr := loadSession(r, string(d.id))
		if loadErr == nil && rules.Live(session, now) {
			rest = append(rest, d)
			continue
		}
		clients, err := clientsToEnd(r, &logout.Ending{SessionID: string(d.id)})
		if err := errors.Join(err, r.StepOver(loadErr)); err != nil {
			return nil, err
		}
		if !asking.Collect(clients) {
			rest = append(rest, d)
		}
	}
	return rest, nil
}
