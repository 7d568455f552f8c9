package postgres

// Kills: the access tokens killed by transactions of this host and of others, in one order (rule 15).

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/kills"
	"github.com/fosite-sessions/sessions/plugin/records"
)

const (
	// killSpan is the time span of a partition of kills, by the database's clock. Partitions are emptied when
	// they are older than that, which is much longer than a lease.
	killSpan = int64(time.Minute)
	// mostKills is the maximum number of kills of a slot read by a beat: if there are more, all copies are
	// dropped.
	mostKills = kills.Kept

	insertKill = `INSERT INTO {s}.kills (n, slot, ring, awaited, sids, grants)
		SELECT $1, $2, (` + databaseTime + ` / 60000000000 % 4)::smallint, $3, $4::text[], $5::bytea[]`
	// killAll is the kill of a transaction that holds all slots, recorded under the first slot.
	killAll = `INSERT INTO {s}.kills (n, slot, ring, awaited)
		SELECT kills + 1, slot, (` + databaseTime + ` / 60000000000 % 4)::smallint, true
		FROM {s}.slots WHERE slot = 0`
	askKilled = "SELECT array_agg(kills ORDER BY slot) FROM {s}.slots"
	// The kills after those already read, of slots that have any.
	askKills = `SELECT k.slot, k.n, k.awaited, k.sids, k.grants
		FROM unnest($1::bigint[]) WITH ORDINALITY AS a(n, place)
		JOIN {s}.slots s ON s.slot = a.place - 1 AND s.kills > a.n AND s.kills - a.n <= $2
		JOIN {s}.kills k ON k.slot = s.slot AND k.n > a.n
		ORDER BY k.slot, k.n`
)

// killRow writes what a transaction has killed, as the next kill of its slot.
func (g *group) killRow() statement {
	kill := &g.kill
	if len(kill.Sessions)+len(kill.Grants) > kills.MaxNames {
		kill.All = true
	}
	g.slot.kills++
	if kill.All {
		return statement{insertKill, []any{g.slot.kills, g.slot.number, g.awaited, nil, nil}}
	}
	refs := make([][]byte, len(kill.Grants))
	for i, ref := range kill.Grants {
		refs[i] = records.RefBytes(ref)
	}
	sids := append([]string{}, kill.Sessions...) // never NULL
	return statement{insertKill, []any{g.slot.kills, g.slot.number, g.awaited, sids, refs}}
}

// kills reports whether the transaction has killed anything.
func (g *group) kills() bool { return g.kill.All || len(g.kill.Sessions)+len(g.kill.Grants) > 0 }

// killed is a row of kills.
type killed struct {
	slot    int
	n       int64
	awaited bool
	kill    grantstore.Kill
}

func killedOf(row pgx.CollectableRow) (k killed, err error) {
	var refs [][]byte
	if err := row.Scan(&k.slot, &k.n, &k.awaited, &k.kill.Sessions, &refs); err != nil {
		return k, err
	}
	k.kill.All = k.kill.Sessions == nil
	for _, raw := range refs {
		ref, ok := records.RefOf(raw)
		if !ok {
			return k, fmt.Errorf("kill %d of slot %d names a grant by %d bytes", k.n, k.slot, len(raw))
		}
		k.kill.Grants = append(k.kill.Grants, ref)
	}
	return k, nil
}

// progress is a host's progress in the kills of each slot. It adds the kills to its log in the order in which
// it learns of them: its own when their commit is known, those of other hosts when a beat has read them.
type progress struct {
	log kills.Log

	mu    sync.Mutex
	slots []int64 // by slot, the last kill up to which all are known
}

// own adds a kill of this host, after its commit and before the call that committed it returns. If an earlier
// kill of the slot is unknown, for example after a commit whose answer was lost, the next beat reads both.
func (p *progress) own(slot int, n int64, kill *grantstore.Kill) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slot < len(p.slots) && p.slots[slot] >= n {
		return // a beat has read it
	}
	p.log.Add(kill)
	if slot < len(p.slots) && p.slots[slot] == n-1 {
		p.slots[slot] = n
	}
}

// read adds what a beat has read: kills, and the number of kills that each slot had before. If one of these
// is missing, all copies are dropped. It returns the host's progress, and the corresponding position of the
// log.
func (p *progress) read(found []killed, through []int64) (slots []int64, position uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slots = append(p.slots, make([]int64, max(0, len(through)-len(p.slots)))...)
	missed := false
	for i := range found {
		k := &found[i]
		if k.slot >= len(p.slots) || k.n <= p.slots[k.slot] {
			continue // this host's own
		}
		missed = missed || k.n > p.slots[k.slot]+1
		p.slots[k.slot] = k.n
		p.log.Add(&k.kill)
	}
	for slot, n := range through {
		if p.slots[slot] < n {
			p.slots[slot], missed = n, true
		}
	}
	if missed {
		p.log.Add(&grantstore.Kill{All: true})
	}
	return slices.Clone(p.slots), p.log.Position()
}

// begin is read for a host that registers: its reads see everything killed before. Earlier copies are
// dropped.
func (p *progress) begin(through []int64) (position uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots != nil {
		p.log.Add(&grantstore.Kill{All: true})
	}
	p.slots = slices.Clone(through)
	return p.log.Position()
}

func (p *progress) snapshot() []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.slots)
}

// leasedKills is the grantstore.Kills of an engine, with the lease of its host.
type leasedKills struct{ *Engine }

var (
	_ grantstore.Kills  = leasedKills{}
	_ grantstore.Leases = leasedKills{}
)

// Kills returns the kills of this host and of others. A kill of another host is streamed within a beat of its
// commit: until then a read may have seen the commit already. An end is acknowledged only after each host has
// learned of it.
func (e *Engine) Kills() grantstore.Kills { return leasedKills{e} }

func (k leasedKills) Position() uint64 { return k.killed.log.Position() }

func (k leasedKills) Follow(ctx context.Context) iter.Seq2[*grantstore.Kill, error] {
	return k.killed.log.Follow(ctx)
}

// awaitHosts returns when what the call has done, or has found done, is known to all hosts.
func (e *Engine) awaitHosts(ctx context.Context) error { return e.host.awaitHosts(ctx, e.background) }

// emptyKills empties the expired partition of kills. It waits for locks only briefly.
func (h *host) emptyKills(ctx context.Context) error {
	h.beating.Lock()
	partition := fmt.Sprintf("{s}.kills_%d", ringOf(bucket(h.database, killSpan)+2))
	h.beating.Unlock()
	var full bool
	err := h.pool.QueryRow(ctx, h.sql("SELECT EXISTS (SELECT FROM "+partition+")")).Scan(&full)
	if err != nil || !full {
		return err
	}
	return pgx.BeginFunc(ctx, h.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, shortLockTimeout); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, h.sql("TRUNCATE "+partition))
		return err
	})
}
