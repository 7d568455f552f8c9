package postgres

// Plans: the rows that calls are known to need, so that a group reads them at once.

import (
	"slices"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// plan names rows. It may be incomplete: other rows are read when they are needed.
type plan struct {
	sids, operations, notices, families []string
	cookies                             [][]byte
	// grants are keys of records. exchanged are those whose family is read too; sought are those whose
	// sessions are to be found, because nothing else in the plan names them.
	grants, exchanged, sought []string
	// affinity is what the call is about: calls of one session go to one committer, so that they do not wait
	// for each other's locks.
	affinity string
}

func (p *plan) add(other *plan) {
	p.sids = append(p.sids, other.sids...)
	p.operations = append(p.operations, other.operations...)
	p.notices = append(p.notices, other.notices...)
	p.families = append(p.families, other.families...)
	p.cookies = append(p.cookies, other.cookies...)
	p.grants = append(p.grants, other.grants...)
	p.exchanged = append(p.exchanged, other.exchanged...)
	p.sought = append(p.sought, other.sought...)
}

func (p *plan) session(sid string) *plan {
	if sid != "" {
		p.sids = append(p.sids, sid)
	}
	return p
}

func (p *plan) operation(id string) *plan {
	p.operations = append(p.operations, id)
	return p
}

func (p *plan) cookie(key ticketstore.Key) *plan {
	p.cookies = append(p.cookies, slices.Clone(key[:]))
	return p
}

// grant plans for a grant and the rows that judge it.
func (p *plan) grant(ref grantstore.Ref) {
	p.place(ref)
	p.sought = append(p.sought, p.grants[len(p.grants)-1])
}

// place plans for the grant under a key, without the rows that judge it.
func (p *plan) place(ref grantstore.Ref) *plan {
	p.grants = append(p.grants, string(records.RefBytes(ref)))
	return p
}

// exchange plans for a code or refresh token and for its family. sid is its session as read by the caller, or
// "": a different session is read when the grant is judged.
func (p *plan) exchange(ref grantstore.Ref, sid string) {
	p.exchanged = append(p.exchanged, string(records.RefBytes(ref)))
	if sid == "" {
		p.grant(ref)
		return
	}
	p.place(ref).session(sid)
}

// The sessions of grants known only by their keys.
const (
	sidsOf = `SELECT unnest($1::text[])
		UNION SELECT g.sid FROM {s}.grants g WHERE g.key = ANY($2::bytea[])`
	sidsOfUsed = ` UNION SELECT u.sid FROM {s}.used u WHERE u.key = ANY($3::bytea[])`
)

// queries returns the queries of the plan, in the order in which rows are locked.
func (p *plan) queries() (list []query) {
	if len(p.cookies) > 0 {
		list = append(list, cookies(p.cookies...))
	}
	if len(p.sids)+len(p.sought) > 0 {
		where, args := "t.sid = ANY($1::text[])", []any{p.sids}
		switch sought, spendable := grantKeys(p.sought); {
		case len(spendable) > 0:
			where, args = "t.sid IN ("+sidsOf+sidsOfUsed+")", append(args, sought, spendable)
		case len(sought) > 0:
			where, args = "t.sid IN ("+sidsOf+")", append(args, sought)
		}
		for _, t := range []*table{sessionTable, clientTable, endedTable} {
			list = append(list, query{table: t, where: where, args: args})
		}
	}
	if len(p.grants) > 0 {
		list = append(list, byKeys(transfer.Grants, p.grants)...)
	}
	if len(p.exchanged)+len(p.families) > 0 {
		exchanged, _ := grantKeys(p.exchanged)
		q := query{table: grantTable, args: []any{p.families, exchanged},
			where: `t.family IN (SELECT unnest($1::text[])
				UNION SELECT g.family FROM {s}.grants g WHERE g.key = ANY($2::bytea[]))`}
		if len(p.exchanged) > 0 { // read by the previous query
			q.where += " AND t.key <> ALL($2::bytea[])"
		}
		list = append(list, q)
	}
	if len(p.notices) > 0 {
		list = append(list, byKeys(transfer.Notifications, p.notices)...)
	}
	if len(p.operations) > 0 {
		list = append(list, byKeys(transfer.Operations, p.operations)...)
	}
	return list
}

// planned records which rows of a plan do not exist, as far as that is certain.
func (g *group) planned(p *plan) {
	for _, key := range p.cookies {
		g.whole["cookie "+string(key)] = true
	}
	g.missing(transfer.Grants, p.grants)
	g.missing(transfer.Operations, p.operations)
	g.missing(transfer.Notifications, p.notices)
	g.missing(transfer.Sessions, p.sids)
	g.missing(transfer.Ended, p.sids)
	sids := slices.Clone(p.sids)
	for _, r := range g.grants {
		sid := grant(r).GetSessionId() // "" if there is no row
		switch {
		case sid == "" || !hasAnyKey(p.sought, r):
		case !g.locks:
			g.missing(transfer.Sessions, []string{sid})
			g.missing(transfer.Ended, []string{sid})
			sids = append(sids, sid)
		// Under locks each statement has its own snapshot: a grant inserted between two of them has a session
		// that was not read. The clients of a session that was read are read under its lock.
		case g.rows[nameOf(transfer.Sessions, sid)] != nil:
			g.missing(transfer.Ended, []string{sid})
			sids = append(sids, sid)
		case g.rows[nameOf(transfer.Ended, sid)] != nil:
			g.missing(transfer.Sessions, []string{sid})
		}
	}
	for _, sid := range sids {
		g.whole[clientsOf(sid)] = true
	}
	for _, r := range g.grants {
		if r.now != nil && hasAnyKey(p.exchanged, r) {
			g.whole[familyOf(grant(r).GetRequestId())] = true
		}
	}
}

// hasAnyKey reports whether a grant has one of the keys.
func hasAnyKey(keys []string, r *row) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return key[1:] == r.key[1:] })
}

// planOf returns a plan with an affinity.
func planOf(affinity string) *plan { return &plan{affinity: affinity} }
