package postgres

// Tables: the columns of the rows of each kind, and the statements derived from them.

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

// row is a row of the store as it was read and as it will be. Messages are immutable, only replaced.
type row struct {
	kind transfer.Kind
	key  string // of the record: plugin/proto/sessions/records/v1/records.proto
	// was is the message in the database, nil for none. now is the message after the transaction.
	was, now proto.Message
	// touched rows are written even if unchanged, to conflict with writes of other transactions.
	touched bool
	// created is when the session of a client's row was created.
	created int64
	// damaged: the row is as its columns have it, without data.
	damaged bool
	// ring, at and echo determine the partition of a row: see ring.go.
	ring int16
	echo bool
}

// column is a column of a table. array builds its values from rows, set stores a value in a row that is read.
// clear removes the column's value from a row's message, so that data does not repeat it; nil for nothing.
type column struct {
	name, typ string
	array     func(rows []*row) any
	dest      func() any
	set       func(r *row, dest any)
	clear     func(r *row)
}

// required is a column that is never NULL. Without set it is derived from other columns.
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

// field is a column of a field of the message, never NULL.
func field[T any](name, typ string, of func(r *row) *T) column {
	c := required(name, typ, func(r *row) T { return *of(r) }, func(r *row, v T) { *of(r) = v })
	c.clear = func(r *row) { *of(r) = *new(T) }
	return c
}

// bytesField is a column of a field of bytes. Nil is stored as empty, not as NULL as pgx would.
func bytesField(name string, of func(r *row) *[]byte) column {
	c := field(name, "bytea", of)
	c.array = required(name, "bytea", func(r *row) []byte { return append([]byte{}, *of(r)...) }, nil).array
	return c
}

// nullable is a column of a field of the message, NULL for zero. of returns nil if a row has no such field.
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

// table is a table of rows. Its last column is data: the message without what the other columns hold.
type table struct {
	kind    transfer.Kind
	name    string
	columns []column
	// keys is the number of leading columns that identify a row.
	keys int
	// guarded: rows that are only read need no lock. Those of clients change under the lock of their session;
	// those of used grants are only ever reduced.
	guarded bool
	// moves: a changed row may belong to a different partition.
	moves bool
	// whole: the other columns hold the whole message, and there is no data.
	whole bool

	list, insert, update, remove string
}

// data is the column of the message.
func (t *table) data() column {
	return required("data", "bytea", func(r *row) []byte {
		rest := *r
		rest.now = proto.Clone(r.now)
		for _, c := range slices.Backward(t.columns) { // some depend on preceding columns
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

// message returns the message of an existing row.
func message[M proto.Message](r *row) M {
	m, _ := r.now.(M)
	return m
}

// newTable completes a table with its statements. {s} stands for the schema.
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
	// The division fails the transaction if a row differs from what was read.
	guard := "WITH done AS (%s RETURNING 1) SELECT 1 / (count(*) >= $%d)::int FROM done"
	t.update = fmt.Sprintf(guard, fmt.Sprintf("UPDATE {s}.%s t SET %s FROM unnest(%s) AS v(%s) WHERE %s",
		t.name, strings.Join(sets, ", "), values, all, where), len(t.columns)+1)
	t.remove = fmt.Sprintf(guard, fmt.Sprintf("DELETE FROM {s}.%s t USING unnest(%s) AS v(%s) WHERE %s",
		t.name, strings.Join(keyTypes, ", "), strings.Join(names[:t.keys], ", "), where), t.keys+1)
	return t
}

// arrays returns the values of rows, column by column, for the first columns of the table.
func (t *table) arrays(rows []*row, columns int) (args []any) {
	for _, c := range t.columns[:columns] {
		args = append(args, c.array(rows))
	}
	return args
}

// destinations returns the scan destinations of a row.
func (t *table) destinations() (dest []any) {
	for _, c := range t.columns {
		dest = append(dest, c.dest())
	}
	return dest
}

// scan returns a function that reads one row after another.
func (t *table) scan() pgx.RowToFunc[*row] {
	dest := t.destinations() // shared by all rows: a row copies what it keeps
	return func(from pgx.CollectableRow) (*row, error) {
		if err := from.Scan(dest...); err != nil {
			return nil, err
		}
		return t.scanned(dest)
	}
}

// scanned returns the row that was scanned to destinations.
func (t *table) scanned(dest []any) (*row, error) {
	r := t.ofColumns(dest)
	if !t.whole {
		data, _ := dest[len(dest)-1].(*[]byte)
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(*data, r.now); err != nil {
			return nil, &damage{table: t, row: t.ofColumns(dest), cause: err}
		}
	}
	r.was = r.now
	return r, nil
}

// ofColumns returns the row as its columns alone have it.
func (t *table) ofColumns(dest []any) *row {
	r := &row{kind: t.kind, now: rules.Message(t.kind)}
	if r.now == nil {
		r.now = &records.Property{} // rows of this kind have no message
	}
	for i, c := range t.columns {
		c.set(r, dest[i])
	}
	return r
}

// cross returns a row as a record of a move, by which it is counted.
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

// tableOf returns the table of a row.
func tableOf(kind transfer.Kind, m proto.Message) *table {
	if g, ok := m.(*records.Grant); ok && g.GetConsumed() != 0 {
		return usedTable
	}
	return tables[slices.IndexFunc(tables, func(t *table) bool { return t.kind == kind })]
}
