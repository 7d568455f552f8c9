package postgres

// Exports: all records of one snapshot, kind by kind, in key order.

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// exportPage is the number of rows per query.
const exportPage = 500

// Export implements transfer.Store. It stops when the engine closes.
func (m mover) Export(ctx context.Context, after []byte) iter.Seq2[*transfer.Batch, error] {
	return func(yield func(*transfer.Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(m.background, cancel)()
		batches := transfer.NewBatcher(yield)
		batches.End(m.export(ctx, after, batches))
	}
}

func (m mover) export(ctx context.Context, after []byte, batches *transfer.Batcher) error {
	if m.closed.Load() {
		return errClosed
	}
	conn, err := m.pool.Acquire(ctx)
	if err != nil {
		return m.unavailable(ctx, err)
	}
	defer release(conn)
	g := newGroup(ctx, m.Engine, conn.Conn())
	g.begin(beginSnapshot)
	// The receiver may take longer for a batch than the timeout of idle transactions.
	g.exec("SET LOCAL idle_in_transaction_session_timeout = 0")
	for _, kind := range transfer.Kinds {
		if len(after) > 0 && kind < transfer.Kind(after[0]) {
			continue
		}
		from := ""
		if len(after) > 0 && kind == transfer.Kind(after[0]) {
			from = string(after[1:])
		}
		if !g.exportKind(kind, from, batches) {
			break
		}
	}
	if g.err != nil {
		return m.unavailable(ctx, g.err)
	}
	return nil
}

// exportKind adds the rows of a kind after a key, and reports whether to continue. Grants are in two tables
// with the same order, which are merged.
func (g *group) exportKind(kind transfer.Kind, after string, batches *transfer.Batcher) bool {
	var walks []*walk
	for _, t := range tables {
		if t.kind == kind {
			walks = append(walks, &walk{group: g, table: t, after: after})
		}
	}
	for g.err == nil {
		var first *walk
		for _, w := range walks {
			if r := w.peek(); r != nil &&
				(first == nil || bytes.Compare(orderOf(r), orderOf(first.peek())) < 0) {
				first = w
			}
		}
		if first == nil {
			return g.err == nil
		}
		r := first.peek()
		first.rows = first.rows[1:]
		if !batches.Add(cross(r.kind, r.key, r.now)) {
			return false
		}
	}
	return false
}

// orderOf returns the sort key of a row in exports: grants are sorted by key and type, like their indexes.
func orderOf(r *row) []byte {
	if r.kind == transfer.Grants {
		return append([]byte(r.key[1:]), r.key[0])
	}
	return []byte(r.key)
}

// walk reads a table in key order.
type walk struct {
	*group
	table *table
	after string // the key after which the next page begins, empty for the first page
	rows  []*row
	ended bool
}

// peek returns the next row, or nil at the end.
func (w *walk) peek() *row {
	if len(w.rows) == 0 && !w.ended {
		w.page()
	}
	if len(w.rows) == 0 || w.err != nil {
		return nil
	}
	return w.rows[0]
}

func (w *walk) page() {
	var names, marks []string
	for _, c := range w.table.columns[:w.table.keys] {
		if c.name != ringColumn.name { // a record is in only one partition
			names, marks = append(names, c.name), append(marks, fmt.Sprintf("$%d", len(marks)+1))
		}
	}
	keys, where := strings.Join(names, ", "), ""
	if w.table == operationTable {
		where = "NOT echo AND "
	}
	text := fmt.Sprintf("SELECT %s FROM {s}.%s t WHERE %s(%s) > (%s) ORDER BY %[4]s LIMIT %[6]d",
		w.table.list, w.table.name, where, keys, strings.Join(marks, ", "), exportPage)
	w.rows = selected(w.group, w.table.scan(), text, keyArgs(w.table.kind, w.after)...)
	if w.ended = len(w.rows) < exportPage; !w.ended {
		w.after = w.rows[len(w.rows)-1].key
	}
}

// keyArgs returns the values of the columns that identify the row of a key. The empty key sorts first.
func keyArgs(kind transfer.Kind, key string) []any {
	switch kind {
	case transfer.Clients:
		sid, client := splitClient(key)
		return []any{sid, client}
	case transfer.Grants:
		if key == "" {
			key = "\x00"
		}
		return []any{[]byte(key[1:]), int16(key[0])}
	}
	return []any{key}
}
