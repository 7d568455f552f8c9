package postgres

// Figures of a store: rows by kind, hosts, and sizes of tables.

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/internal/offline"
	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Stats are the figures of a store.
type Stats struct {
	// Figures: the format is the number of a migration.
	offline.Figures
	// Needs is the oldest program that may use the store.
	Needs int `json:"needs"`
	// Hosts have the store open, or had it open less than a minute ago.
	Hosts []Host `json:"hosts"`
	// Bytes is the size of each table, with its indexes and partitions.
	Bytes map[string]int64 `json:"bytes"`
}

// Host is a program that has the store open.
type Host struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Knows is the newest migration that it knows.
	Knows int `json:"knows"`
	// Joined is when it opened the store, Beat the time of its last beat, by the database's clock.
	Joined time.Time `json:"joined"`
	Beat   time.Time `json:"beat"`
}

const askHosts = `SELECT name, version, knows, joined, beat FROM {s}.hosts
	WHERE beat > ` + databaseTime + ` - $1::bigint * 1000000000 AND instance <> $2 ORDER BY joined, instance`

// Hosts returns the programs that have the store open, in the order in which they opened it.
func (e *Engine) Hosts(ctx context.Context) ([]Host, error) {
	rows, _ := e.pool.Query(ctx, e.sql(askHosts), schema.HostSilence, "") // the rows hold its error
	hosts, err := pgx.CollectRows(rows, hostOf)
	if err != nil {
		return nil, e.unavailable(ctx, err)
	}
	return hosts, nil
}

func hostOf(row pgx.CollectableRow) (h Host, err error) {
	var joined, beat int64
	err = row.Scan(&h.Name, &h.Version, &h.Knows, &joined, &beat)
	h.Joined, h.Beat = time.Unix(0, joined).UTC(), time.Unix(0, beat).UTC()
	return h, err
}

// shown returns the first of the hosts, as a description has them.
func shown(hosts []Host) (list []ticketstore.Host) {
	for _, h := range hosts[:min(len(hosts), ticketstore.MaxHosts)] {
		list = append(list, ticketstore.Host{
			Name: h.Name, Version: h.Version, Beat: h.Beat, Joined: h.Joined,
		})
	}
	return list
}

// Partitions are included in their tables.
const askBytes = `SELECT coalesce(p.relname, c.relname)::text, sum(pg_total_relation_size(c.oid))::bigint
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
	LEFT JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
	WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') GROUP BY 1`

// Stats returns the contents, the states of notifications, the hosts and the sizes of the tables.
func (e *Engine) Stats(ctx context.Context) (*Stats, error) {
	s, err := answer(&call{ctx: ctx, admits: anyState}, e.look, func(t *tx) (*Stats, error) {
		s := &Stats{Figures: offline.Figures{
			Newest: schema.Embedded().Newest(), Records: map[string]int64{}, Deliveries: map[string]int64{},
		}, Bytes: map[string]int64{}}
		return s, t.measure(s)
	})
	if err != nil {
		return nil, err
	}
	s.Hosts, err = e.Hosts(ctx)
	return s, err
}

func (t *tx) measure(s *Stats) error {
	status, err := t.status("")
	if err != nil {
		return err
	}
	s.State, s.Peer, s.Move, s.Origin = status.State, status.Peer, status.ID, status.Origin
	s.Journaled = status.Left
	for _, kind := range transfer.Kinds {
		s.Records[kind.String()] = status.Content[kind].Count
	}
	err = t.conn.QueryRow(t.ctx, t.sql(`SELECT v.version, l.needs,
		(SELECT count(*) FROM {s}.jobs WHERE running IS NOT NULL)
		FROM {s}.schema_version v, {s}.ledger l`)).Scan(&s.Format, &s.Needs, &s.JobsRunning)
	t.fail(err)
	t.sums(s.Deliveries, "SELECT state, count(*) FROM {s}.notices GROUP BY state")
	t.sums(s.Bytes, askBytes, strings.Trim(t.schema, `"`))
	return t.err
}

// sums reads named numbers.
func (t *tx) sums(into map[string]int64, sql string, args ...any) {
	type sum struct {
		Name string
		N    int64
	}
	for _, s := range selected(t.group, pgx.RowToStructByPos[sum], sql, args...) {
		into[s.Name] = s.N
	}
}

// String names a host in messages.
func (h Host) String() string { return fmt.Sprintf("%s (version %s)", h.Name, h.Version) }
