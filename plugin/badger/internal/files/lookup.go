package files

// Looking up one key in a table.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"

	"github.com/dgraph-io/badger/v4/y"
)

const (
	bitDelete  = 1 << 0
	word       = 4
	entryHead  = 4 // shared key prefix with the block's first key, and length of the rest
	versionEnd = 8
)

// Get returns the value of the key that was passed to ReadTable, or nil if the table does not have it or it
// is in the value log.
func (t *Table) Get(wanted []byte) (value []byte, err error) {
	if t.wanted < 0 {
		return nil, nil
	}
	file, err := os.Open(t.name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := t.block(file, t.blocks[t.wanted])
	if err != nil {
		return nil, fmt.Errorf("%w: block %d: %w", ErrTable, t.wanted+1, err)
	}
	// The checksum was right, but the contents may still be malformed.
	defer func() {
		if recover() != nil {
			value, err = nil, fmt.Errorf("%w: block %d cannot be read", ErrTable, t.wanted+1)
		}
	}()
	entries := int(binary.BigEndian.Uint32(data[len(data)-word:]))
	end := len(data) - word - entries*word
	offset := func(i int) int {
		if i == entries {
			return end
		}
		return int(binary.NativeEndian.Uint32(data[end+i*word:]))
	}
	var first []byte
	for i := range entries {
		entry := data[offset(i):offset(i+1)]
		same, rest := binary.NativeEndian.Uint16(entry), binary.NativeEndian.Uint16(entry[2:])
		key := append(bytes.Clone(first[:same]), entry[entryHead:entryHead+int(rest)]...)
		if i == 0 {
			first = key
		}
		if !bytes.Equal(y.ParseKey(key), wanted) {
			continue
		}
		var found y.ValueStruct
		found.Decode(entry[entryHead+int(rest):])
		if found.Meta&(bitDelete|bitValuePointer) != 0 {
			return nil, nil
		}
		return bytes.Clone(found.Value), nil
	}
	return nil, nil
}
