package kv

// Records in rows.

import (
	"cmp"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// Load reads a record into message and reports whether it was there.
func Load(r Reader, k []byte, message proto.Message) (found bool, err error) {
	if s, ok := r.(*Snapshot); ok {
		var damage error
		found, err = s.look(k, func(value []byte, _ bool) { damage = layout.Decode(k, value, message) })
		return found, cmp.Or(err, damage)
	}
	value, err := r.Get(k)
	if err != nil || value == nil {
		return false, err
	}
	return true, layout.Decode(k, value, message)
}

// Save writes a record. Marshalling fails only for text that is not UTF-8, which validation refuses.
func (t *Tx) Save(k []byte, message proto.Message) error {
	value, err := proto.Marshal(message)
	if err != nil {
		return fmt.Errorf("record for table %q cannot be written: %w", k[:1], err)
	}
	t.Put(k, value)
	return nil
}
