package postgres

// Pages along an index, by the position of their rows (rule 5).

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// maxScan bounds the rows examined for a page or a count.
	maxScan = 10_000
	// chunk is the number of rows per query if some of them may not match.
	chunk = 500
)

// listing is a part of an index, ordered by position.
type listing struct {
	table *table
	// from names the tables, with the rows' own table as t. where are conditions on them, with args.
	from  string
	where []string
	args  []any
	// created and id are the columns of positions. Positions of notifications are their ids only.
	created, id string
	// prepare reads what match needs for rows. match decides what the conditions do not.
	prepare func(rows []*row)
	match   func(r *row) bool
	// lenient: damaged rows match nothing. Otherwise they are an error.
	lenient bool
}

// matches reports whether a row that was found belongs to the listing.
func (l *listing) matches(r *row) bool { return !r.damaged && (l.match == nil || l.match(r)) }

// and adds a condition. Its %d is the number of the argument.
func (l *listing) and(condition string, arg any) {
	l.args = append(l.args, arg)
	l.where = append(l.where, fmt.Sprintf(condition, len(l.args)))
}

// equal adds the condition that a column has a value, unless that is empty.
func (l *listing) equal(column, value string) {
	if value != "" {
		l.and(column+" = $%d", value)
	}
}

// behind returns the bound just after a position, or nil for none.
func behind(position []byte) *ticketstore.Bound {
	if len(position) == 0 {
		return nil
	}
	return &ticketstore.Bound{Position: position}
}

func keysOf(rows []*row) []string {
	keys := make([]string, len(rows))
	for i, r := range rows {
		keys[i] = r.key
	}
	return keys
}

// chunk returns the next rows after a bound (nil: from the first row in that direction).
func (t *tx) chunk(l *listing, from *ticketstore.Bound, reverse bool, limit int) []*row {
	where, args := slices.Clone(l.where), slices.Clone(l.args)
	compare, order := ">", "ASC"
	if reverse {
		compare, order = "<", "DESC"
	}
	if from != nil {
		if from.Inclusive {
			compare += "="
		}
		created, id := split(l, from.Position)
		if l.created == "" {
			args = append(args, id)
			where = append(where, fmt.Sprintf("%s %s $%d", l.id, compare, len(args)))
		} else {
			args = append(args, created, id)
			where = append(where, fmt.Sprintf("(%s, %s) %s ($%d, $%d)", l.created, l.id, compare,
				len(args)-1, len(args)))
		}
	}
	sort := l.id + " " + order
	if l.created != "" {
		sort = l.created + " " + order + ", " + sort
	}
	if len(where) == 0 {
		where = []string{"true"}
	}
	args = append(args, limit)
	sql := fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s LIMIT $%d", l.table.list, l.from,
		strings.Join(where, " AND "), sort, len(args))
	return t.unlocked(l, sql, args...)
}

// unlocked reads rows without adding them to a group that locks: they may change until they are locked.
func (t *tx) unlocked(l *listing, sql string, args ...any) []*row {
	list := selected(t.group, t.scan(l.table, l.lenient), sql, args...)
	for _, r := range list {
		if !t.locks && !r.damaged {
			copied := *r // a row removed by a dry run keeps its place
			t.take(&copied)
		}
	}
	return list
}

// split decodes a position. It accepts even positions of no row, as in a forged results token.
func split(l *listing, position []byte) (created int64, id any) {
	text := position
	if l.created != "" {
		head := append(slices.Clone(position[:min(8, len(position))]), make([]byte, 8)...)
		created, text = int64(binary.BigEndian.Uint64(head)^1<<63), position[min(8, len(position)):]
	}
	if l.table == grantTable {
		return created, slices.Concat([]byte{}, text)
	}
	return created, strings.ReplaceAll(strings.ToValidUTF8(string(text), ""), "\x00", "")
}

// positionOf returns the position of a row in its listings.
func positionOf(r *row) []byte {
	switch m := r.now.(type) {
	case *records.Session:
		return records.SessionPosition(m)
	case *records.Grant:
		return records.GrantPosition(r.ref(), m)
	}
	return []byte(r.key)
}

// readListing returns at most count matching rows of a listing, starting at a bound.
func (t *tx) readListing(
	l *listing, from *ticketstore.Bound, reverse bool, count int,
) (rows []*row, s *rules.Scanned) {
	s = &rules.Scanned{}
	for scanned := 0; t.err == nil; {
		limit := min(count+1-len(rows), maxScan+1-scanned)
		if l.match != nil && scanned > 0 {
			limit = min(max(limit, chunk), maxScan+1-scanned)
		}
		found := t.chunk(l, from, reverse, limit)
		if l.prepare != nil {
			l.prepare(found)
		}
		for _, r := range found {
			if scanned == maxScan {
				s.More = true
				return rows, s
			}
			scanned++
			position := positionOf(r)
			if l.matches(r) {
				if len(rows) == count {
					s.More = true
					return rows, s
				}
				if len(rows) == 0 {
					s.First = position
				}
				rows, s.Rows, s.Last = append(rows, r), s.Rows+1, position
			}
			s.Seen = position
		}
		if len(found) < limit {
			return rows, s
		}
		from = behind(s.Seen)
	}
	return rows, s
}

// readPage returns the page requested by a walk, without damaged rows.
func readPage[F any](t *tx, l *listing, w *ticketstore.Walk[F]) ([]*row, *rules.Place) {
	l.lenient, t.lenient = true, true
	rows, s := t.readListing(l, w.From, w.Reverse(), w.Count)
	more := false
	if w.From != nil {
		near := rules.NearBound(w, s)
		_, beyond := t.readListing(l, &near, !w.Reverse(), 1)
		more = beyond.Rows > 0 || beyond.More
	}
	if w.Prior {
		slices.Reverse(rows)
	}
	return rows, rules.PlaceOf(w, s, more)
}

// count returns the number of rows of a listing, or -1 if it would have to examine more than most.
func (t *tx) count(l *listing, most int) (n int) {
	where := append([]string{"true"}, l.where...)
	if l.match == nil {
		args := append(slices.Clone(l.args), int64(most)+1)
		n = t.number(fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s WHERE %s LIMIT $%d) AS part", l.from,
			strings.Join(where, " AND "), len(args)), args...)
		if n > most {
			return -1
		}
		return n
	}
	var from *ticketstore.Bound
	for scanned := 0; t.err == nil; {
		found := t.chunk(l, from, false, chunk)
		if scanned += len(found); scanned > most {
			return -1
		}
		for _, r := range found {
			if l.matches(r) {
				n++
			}
			from = behind(positionOf(r))
		}
		if len(found) < chunk {
			return n
		}
	}
	return n
}
