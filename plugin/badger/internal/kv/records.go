package kv

// Reading and writing records.

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// Find returns a record, or nil if there is none. It may share memory with its row, see records.Decode.
func Find[Record any, Message interface {
	*Record
	proto.Message
}](r Reader, k []byte) (*Record, error) {
	value, err := r.Get(k)
	if err != nil || value == nil {
		return nil, err
	}
	record := new(Record)
	if err := layout.Decode(k, value, Message(record)); err != nil {
		return nil, err
	}
	return record, nil
}

// Save writes a record. Marshalling fails only for invalid UTF-8, which validation refuses.
func (t *Tx) Save(k []byte, message proto.Message) error {
	value, err := proto.Marshal(message)
	if err != nil {
		return fmt.Errorf("record for table %q cannot be written: %w", k[:1], err)
	}
	t.Put(k, value)
	return nil
}
