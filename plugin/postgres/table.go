package postgres

// Tables: how the rows of each kind lie in the database, and the statements that follow from it.

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// row is a row of the store as it was read, and as it is to be. Messages are never changed, only replaced.
type row struct {
	kind transfer.Kind
	key  string // of the record: plugin/proto/sessions/records/v1/records.proto
	// was is the message that the database has, nil for none. now is what a transaction leaves.
	was, now proto.Message
	// touched rows are written even if nothing in them changes: another transaction's write conflicts with
	// that.
	touched bool
	// created is when the session of a client's row was created.
	created int64
	// ring, at and echo say in which partition a row lies: see ring.go.
	ring int16
	echo bool
}

// column is a column of a table. array makes its values from rows, set gives one back to a row that is read.
// clear takes from a row's message what the column holds, so that data does not repeat it; nil for nothing.
type column struct {
	name, typ string
	array     func(rows []*row) any
	dest      func() any
	set       func(r *row, dest any)
	clear     func(r *row)
}

// required is a column that is never NULL. Without set it is made from other columns.
func required[T any](name, typ string, get func(r *row) T, set func(r *row, v T)) column {
	return column{
		name: name, typ: typ, dest: func() any { return new(T) },
		array: func(rows []*row) any {
			values := make(pgtype.FlatArray[T], len(rows)) // a slice of some types is encoded by reflection
			for i, r := range rows {
				values[i] = get(r)
			}
			return values
		},
		set: func(r *row, dest any) {
			if v, ok := dest.(*T); ok && set != nil {
				set(r, *v)
			}
		},
	}
}

// optional is a column that is NULL for the zero value.
func optional[T comparable](name, typ string, get func(r *row) T, set func(r *row, v T)) column {
	pointer := func(r *row) *T {
		var zero T
		if v := get(r); v != zero {
			return &v
		}
		return nil
	}
	return required(name, typ, pointer, func(r *row, v *T) {
		if v != nil && set != nil {
			set(r, *v)
		}
	})
}

// field is a column that holds a field of the message, and is never NULL.
func field[T any](name, typ string, of func(r *row) *T) column {
	c := required(name, typ, func(r *row) T { return *of(r) }, func(r *row, v T) { *of(r) = v })
	c.clear = func(r *row) { *of(r) = *new(T) }
	return c
}

// bytesField is a field of bytes. None are not NULL, as nil is to pgx, but empty.
func bytesField(name string, of func(r *row) *[]byte) column {
	c := field(name, "bytea", of)
	c.array = required(name, "bytea", func(r *row) []byte { return append([]byte{}, *of(r)...) }, nil).array
	return c
}

// nullable is a column that holds a field of the message, NULL for zero. of is nil where a row has no such
// field.
func nullable[T comparable](name, typ string, of func(r *row) *T) column {
	value := func(r *row) (v T) {
		if field := of(r); field != nil {
			v = *field
		}
		return v
	}
	set := func(r *row, v T) {
		if field := of(r); field != nil {
			*field = v
		}
	}
	c := optional(name, typ, value, set)
	c.clear = func(r *row) { set(r, *new(T)) }
	return c
}

// table is where rows lie. Its last column is data: the message without what the other columns hold.
type table struct {
	kind    transfer.Kind
	name    string
	columns []column
	// keys is how many of the columns identify a row, in their order.
	keys int
	// guarded: rows that are only read need no lock. Those of clients change under the lock of their session,
	// those of used grants become smaller and nothing else.
	guarded bool
	// moves: a row that changes may have to lie in another partition.
	moves bool
	// whole: the other columns hold all of the message, and there is no data.
	whole bool

	list, insert, update, remove string
}

// data is the column of the message.
func (t *table) data() column {
	return required("data", "bytea", func(r *row) []byte {
		rest := *r
		rest.now = proto.Clone(r.now)
		for _, c := range slices.Backward(t.columns) { // what some hold depends on columns before them
			if c.clear != nil {
				c.clear(&rest)
			}
		}
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(rest.now)
		if err != nil {
			panic(fmt.Sprintf("a row that was checked cannot be written: %v", err))
		}
		if data == nil {
			data = []byte{}
		}
		return data
	}, nil)
}

// message returns the message of a row, of which there is one.
func message[M proto.Message](r *row) M {
	m, _ := r.now.(M)
	return m
}

// newTable completes a table by its statements. Names are those of the schema that {s} stands for.
func newTable(t *table) *table {
	if !t.whole {
		t.columns = append(t.columns, t.data())
	}
	var names, read, sets, types, same, keyTypes []string
	for i, c := range t.columns {
		names, read = append(names, c.name), append(read, "t."+c.name)
		types = append(types, fmt.Sprintf("$%d::%s[]", i+1, c.typ))
		if i < t.keys {
			same = append(same, fmt.Sprintf("t.%s = v.%s", c.name, c.name))
			keyTypes = append(keyTypes, types[i])
			continue
		}
		sets = append(sets, fmt.Sprintf("%s = v.%s", c.name, c.name))
	}
	all, values := strings.Join(names, ", "), strings.Join(types, ", ")
	where := strings.Join(same, " AND ")
	t.list = strings.Join(read, ", ")
	t.insert = fmt.Sprintf("INSERT INTO {s}.%s (%s) SELECT * FROM unnest(%s)", t.name, all, values)
	// A row that is not as it was read fails the transaction.
	guard := "WITH done AS (%s RETURNING 1) SELECT 1 / (count(*) >= $%d)::int FROM done"
	t.update = fmt.Sprintf(guard, fmt.Sprintf("UPDATE {s}.%s t SET %s FROM unnest(%s) AS v(%s) WHERE %s",
		t.name, strings.Join(sets, ", "), values, all, where), len(t.columns)+1)
	t.remove = fmt.Sprintf(guard, fmt.Sprintf("DELETE FROM {s}.%s t USING unnest(%s) AS v(%s) WHERE %s",
		t.name, strings.Join(keyTypes, ", "), strings.Join(names[:t.keys], ", "), where), t.keys+1)
	return t
}

// arrays are the values of rows, column by column, in the first columns of the table.
func (t *table) arrays(rows []*row, columns int) (args []any) {
	for _, c := range t.columns[:columns] {
		args = append(args, c.array(rows))
	}
	return args
}

// destinations are where a row is scanned to.
func (t *table) destinations() (dest []any) {
	for _, c := range t.columns {
		dest = append(dest, c.dest())
	}
	return dest
}

// scan returns what reads one row after the other.
func (t *table) scan() pgx.RowToFunc[*row] {
	dest := t.destinations() // of all rows: what a row keeps of them is a copy
	return func(from pgx.CollectableRow) (*row, error) {
		if err := from.Scan(dest...); err != nil {
			return nil, err
		}
		return t.scanned(dest)
	}
}

// scanned returns the row that was scanned to destinations.
func (t *table) scanned(dest []any) (*row, error) {
	r := &row{kind: t.kind, now: rules.Message(t.kind)}
	if r.now == nil {
		r.now = &records.Property{} // the rows of this kind are no messages
	}
	for i, c := range t.columns {
		c.set(r, dest[i])
	}
	if !t.whole {
		data, _ := dest[len(dest)-1].(*[]byte)
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(*data, r.now); err != nil {
			return nil, fmt.Errorf("a row of table %s is damaged: %w", t.name, err)
		}
	}
	r.was = r.now
	return r, nil
}

// cross is a row in the form in which it moves between stores, and by which it is counted.
func cross(kind transfer.Kind, key string, m proto.Message) *transfer.Record {
	record := &transfer.Record{Kind: kind, Key: []byte(key)}
	if p, ok := m.(*records.Property); ok && kind == transfer.Purges {
		record.Data = p.GetValue()
		return record
	}
	switch m.(type) {
	case *records.Session, *records.Notification: // Cross changes these
		m = proto.Clone(m)
	}
	data, err := records.Cross(m)
	if err != nil {
		panic(fmt.Sprintf("a row that was checked cannot be written: %v", err))
	}
	record.Data = data
	return record
}

// The tables, in the order in which their rows are locked and written.
var tables = []*table{
	sessionTable, clientTable, endedTable, grantTable, usedTable, noticeTable, operationTable, jobTable,
	purgeTable, propertyTable,
}

// tableOf is the table in which a row lies.
func tableOf(kind transfer.Kind, m proto.Message) *table {
	if g, ok := m.(*records.Grant); ok && g.GetConsumed() != 0 {
		return usedTable
	}
	return tables[slices.IndexFunc(tables, func(t *table) bool { return t.kind == kind })]
}
