package layout

// Errors of malformed rows and index entries.

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
)

// A caller that reads a damaged row gets an error, never "not found". Code that reads many rows logs the
// damage, skips the row and continues. A due entry of such a row would remain due forever: it is deleted, and
// the row's bytes are moved to a table that is never read and not part of a move.
//
// A move is the exception and fails: it cannot compare a row that it cannot read, and skipping the row would
// lose it. As sessions, grants and notifications all expire, a damaged row blocks moves only until then.

// Damage is the error of a malformed row or index entry.
type Damage struct {
	Key     []byte
	problem error
}

// Error names the table, never the key.
func (d *Damage) Error() string {
	return fmt.Sprintf("row of table %q is damaged: %v", TableName(d.Key), d.problem)
}

func (d *Damage) Unwrap() error { return d.problem }

// Damaged returns the error for the row under a key.
func Damaged(k []byte, problem error) error { return &Damage{k, problem} }

// DamagedEntry returns the error for an index entry.
func DamagedEntry(k []byte) error { return Damaged(k, errEntry) }

var errEntry = errors.New("it is not in its form")

// IsDamage reports whether an error is a Damage.
func IsDamage(err error) bool {
	var d *Damage
	return errors.As(err, &d)
}

// TableName returns the name of a key's table.
func TableName(k []byte) string {
	if t := TableOf(k); t != nil {
		return t.Name
	}
	return "unknown"
}

// Public returns the part of a row's key that may be logged: ids that are not credentials.
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
