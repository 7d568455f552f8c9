package postgres

// The queue of notifications: claims, settlements, listing and retries (rule 7).

import (
	"cmp"
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// queue adds a new notification.
func (t *tx) queue(n *records.Notification) {
	t.put(transfer.Notifications, rules.NotificationID(t.now, t.notices.Add(1)), n)
}

const (
	// maxSurveyed bounds the clients whose queues one claim examines.
	maxSurveyed = 4096
	// heads walks from client to client with pending notifications, and takes the first rows of each queue: a
	// long queue costs no more than a short one.
	heads = `WITH RECURSIVE turn(client, n) AS (
			(SELECT client, 1 FROM {s}.notices WHERE due IS NOT NULL AND client > $1 ORDER BY client LIMIT 1)
			UNION ALL
			SELECT (SELECT q.client FROM {s}.notices q WHERE q.due IS NOT NULL AND q.client > turn.client
				ORDER BY q.client LIMIT 1), n + 1
			FROM turn WHERE turn.client IS NOT NULL AND n < $4)
		SELECT turn.client, head.due, head.id FROM turn CROSS JOIN LATERAL (
			SELECT due, id FROM {s}.notices q WHERE q.due IS NOT NULL AND q.client = turn.client
			ORDER BY due, id LIMIT $3) AS head
		WHERE turn.client IS NOT NULL AND turn.client <= $2 ORDER BY turn.client, head.due, head.id`
)

// lastClient sorts after every client id.
const lastClient = "\U0010FFFF\U0010FFFF"

// head is an entry at the head of a client's queue.
type head struct {
	Client string
	Due    int64
	ID     string
}

func (t *tx) heads(after, through string, perClient int) []head {
	// One more than a client may have claimed, to know whether there are more.
	return selected(t.group, pgx.RowToStructByPos[head], heads, after, through, perClient+1, maxSurveyed+1)
}

// claimable is what a claim may take, and when there is more. last is the client after which the next claim
// begins, or empty.
type claimable struct {
	due  []head
	next time.Time
	last string
}

// survey finds what a claim may take, each client's earliest first. It examines at most maxSurveyed clients:
// the next claim continues with the others.
func (t *tx) survey(claim *logout.Claim, after string) *claimable {
	found := &claimable{}
	round := rules.NewRound(claim, t.now)
	clients, current, passed := 0, "", ""
	visit := func(list []head) {
		for _, h := range list {
			if clients == 0 || h.Client != current {
				if clients++; clients > maxSurveyed {
					round.Stop()
					found.last = current
					return
				}
				current = h.Client
			}
			if passed == h.Client {
				continue
			}
			switch round.Decide(h.Client, records.Moment(h.Due)) {
			case rules.Claimed:
				found.due, found.last = append(found.due, h), h.Client
			case rules.ClientSkipped:
				passed = h.Client
			case rules.ClaimComplete:
				return
			}
		}
	}
	if visit(t.heads(after, lastClient, claim.PerClient)); !round.Full {
		visit(t.heads("", after, claim.PerClient))
	}
	found.next = round.Next
	return found
}

const lockNotices = `SELECT id FROM {s}.notices WHERE id = ANY($1::text[])
	ORDER BY id FOR NO KEY UPDATE SKIP LOCKED`

// Claim finds what is due in a snapshot and takes what no other host is taking: it skips rows that are locked
// or whose due time has changed.
func (s endings) Claim(
	ctx context.Context, claim logout.Claim, now time.Time,
) (claimed *logout.ClaimResult, err error) {
	err = s.passingOver(ctx, now, rowAlone, func() (err error) {
		claimed, err = s.claim(ctx, claim, now)
		return err
	})
	return claimed, err
}

func (s endings) claim(
	ctx context.Context, claim logout.Claim, now time.Time,
) (*logout.ClaimResult, error) {
	last := ""
	if served := s.served.Load(); served != nil {
		last = *served
	}
	found, err := view(ctx, s.Engine, now, claim.Validate(), func(t *tx) (*claimable, error) {
		return t.survey(&claim, last), nil
	})
	if err != nil {
		return nil, err
	}
	if found.last != "" {
		s.served.Store(&found.last)
	}
	due := found.due
	if len(due) == 0 {
		return &logout.ClaimResult{Next: found.next}, nil
	}
	p := planOf("claim")
	return update(ctx, s.Engine, now, nil, p, func(t *tx) (*logout.ClaimResult, error) {
		claimed := &logout.ClaimResult{Next: found.next}
		ids := make([]string, len(due))
		for i := range due {
			ids[i] = due[i].ID
		}
		t.need(transfer.Notifications, t.strings(lockNotices, ids)...)
		lease := now.Add(claim.Lease)
		for _, h := range due {
			// The snapshot is outdated if the row has changed since (rule 14).
			n := proto.CloneOf(t.noticeRead(h.ID))
			if n == nil || n.GetState() != string(logout.Pending) || n.GetDue() != h.Due {
				claimed.Next = now // another host was faster: try again
				continue
			}
			rules.Claim(n, lease)
			t.put(transfer.Notifications, h.ID, n)
			claimed.Next = rules.Earlier(claimed.Next, lease)
			claimed.Deliveries = append(claimed.Deliveries,
				logout.Delivery{Notification: *records.NotificationOf(h.ID, n), Claim: n.GetClaim()})
		}
		return claimed, nil
	})
}

// noticeRead returns a notification that was read, or nil if it was not.
func (g *group) noticeRead(id string) *records.Notification {
	if r := g.rows[nameOf(transfer.Notifications, id)]; r != nil {
		n, _ := r.now.(*records.Notification)
		return n
	}
	return nil
}

// notification returns a copy of a notification, which the caller may change and put.
func (t *tx) notification(id string) (*records.Notification, error) {
	if n := at[*records.Notification](t.group, transfer.Notifications, id); n != nil {
		return proto.CloneOf(n), nil
	}
	return nil, missing("notification")
}

func (s endings) Settle(
	ctx context.Context, id string, claim uint64, outcome logout.Outcome, now time.Time,
) error {
	p := planOf(id)
	p.notices = []string{id}
	_, err := update(ctx, s.Engine, now, outcome.Validate(), p, func(t *tx) (*records.Notification, error) {
		n, err := t.notification(id)
		if err == nil {
			err = rules.Settle(n, claim, &outcome, now)
		}
		if err == nil {
			t.put(transfer.Notifications, id, n)
		}
		return n, err
	})
	return err
}

func (s endings) Notifications(
	ctx context.Context, query logout.NotificationQuery,
) (*logout.NotificationPage, error) {
	walk, invalid := query.Walk()
	return view(ctx, s.Engine, anyTime, invalid, func(t *tx) (page *logout.NotificationPage, err error) {
		rows, place := readPage(t, noticeListing(&walk.Filter), walk)
		page = &logout.NotificationPage{HasPrev: place.HasPrev, HasNext: place.HasNext}
		for _, r := range rows {
			page.Notifications = append(page.Notifications, *records.NotificationOf(r.key, notice(r)))
		}
		page.ResultsToken, err = rules.Token(walk, place, 0)
		return page, err
	})
}

func noticeListing(f *logout.NotificationFilter) *listing {
	l := &listing{table: noticeTable, from: "{s}.notices t", id: "t.id"}
	l.equal("t.sid", f.SessionID)
	l.equal("t.client", f.ClientID)
	l.equal("t.state", string(f.State))
	return l
}

// retryBatch bounds the notifications retried by one transaction.
const retryBatch = 256

func (s endings) Retry(
	ctx context.Context, retry logout.Retry, now time.Time,
) (*logout.RetryResult, error) {
	p := planOf(cmp.Or(retry.ID, "retry"))
	return update(ctx, s.Engine, now, retry.Validate(), p, func(t *tx) (*logout.RetryResult, error) {
		if retry.ID != "" {
			n, err := t.notification(retry.ID)
			if err != nil {
				return nil, err
			}
			t.sendAgain(retry.ID, n)
			return &logout.RetryResult{Notification: records.NotificationOf(retry.ID, n), Count: 1}, nil
		}
		l, from := noticeListing(&retry.Filter), behind([]byte(retry.After))
		l.lenient = true
		rows, found := t.readListing(l, from, false, min(retry.Limit, retryBatch))
		result := &logout.RetryResult{}
		if found.More {
			result.Next = string(found.Seen)
		}
		ids := keysOf(rows)
		t.need(transfer.Notifications, ids...)
		for _, id := range ids {
			n, err := t.notification(id)
			if err != nil || !rules.Retries(&retry.Filter, n, now) {
				continue // gone or claimed
			}
			t.sendAgain(id, n)
			result.Count++
		}
		return result, nil
	})
}

func (t *tx) sendAgain(id string, n *records.Notification) {
	rules.SendAgain(n, t.now)
	t.put(transfer.Notifications, id, n)
}
