package badger

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// load reads a record into message and tells whether it was there.
func load(r reader, k []byte, message proto.Message) (bool, error) {
	value, err := r.get(k)
	if err != nil || value == nil {
		return false, err
	}
	return true, decode(k, value, message)
}

// decode names the table of a record that cannot be read, never its key.
func decode(k, value []byte, message proto.Message) error {
	if err := proto.Unmarshal(value, message); err != nil {
		return &damage{k, err}
	}
	return nil
}

// save writes a record. Marshalling fails only for text that is not UTF-8, which validation refuses.
func (t *tx) save(k []byte, message proto.Message) error {
	value, err := proto.Marshal(message)
	if err != nil {
		return fmt.Errorf("record for table %q cannot be written: %w", k[:1], err)
	}
	t.put(k, value)
	return nil
}
