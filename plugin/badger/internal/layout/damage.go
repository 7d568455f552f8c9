package layout

// Errors of rows and index entries that are not in their form.

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
)

// A caller that asks for a row that cannot be read gets an error, never "not found". What reads many rows
// logs it, steps over it and goes on with the others. An entry by which such a row is due would be due for
// ever: it is deleted, and the row's bytes are moved to a table that is never read and takes no part in a
// move.
//
// A move is the exception. It refuses: what it cannot read it cannot compare, and to leave it out would be to
// lose it. As sessions, grants and notifications all have their time, a damaged one is in a move's way no
// longer than that.

// Damage is the error of a row, or an index entry, that is not in its form.
type Damage struct {
	Key     []byte
	problem error
}

// Error names the table, never the key.
func (d *Damage) Error() string {
	return fmt.Sprintf("row of table %q is damaged: %v", TableName(d.Key), d.problem)
}

func (d *Damage) Unwrap() error { return d.problem }

// Damaged is the error of what stands under a key.
func Damaged(k []byte, problem error) error { return &Damage{k, problem} }

// DamagedEntry is that of an index entry.
func DamagedEntry(k []byte) error { return Damaged(k, errEntry) }

var errEntry = errors.New("it is not in its form")

// IsDamage reports whether an error is that of a row, or an entry, that is not in its form.
func IsDamage(err error) bool {
	var d *Damage
	return errors.As(err, &d)
}

// TableName is the name of a key's table.
func TableName(k []byte) string {
	if t := TableOf(k); t != nil {
		return t.Name
	}
	return "unknown"
}

// Public returns the part of a row's key that may be logged: ids that are no credential.
func Public(k []byte) string {
	for _, table := range [][]byte{
		TableSession, TableClientUse, TableEnded, TableJob, TablePurge, TableNotification, TableProperty,
	} {
		if bytes.HasPrefix(k, table) {
			return string(bytes.ReplaceAll(k[len(table):], []byte{0}, []byte{'/'}))
		}
	}
	return ""
}

// Decode is records.Decode. Its error names the table of a record that cannot be decoded, never its key.
func Decode(k, value []byte, message proto.Message) error {
	if err := records.Decode(value, message); err != nil {
		return Damaged(k, err)
	}
	return nil
}
