package files

// Tables: their index, and their blocks with checksums.

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/proto"
)

// ErrTable means that Badger cannot have written the table.
var ErrTable = errors.New("the table is damaged")

// Table is a table whose index was read: the positions of its blocks, with a checksum.
type Table struct {
	// Version is the highest version of its rows.
	Version uint64

	name        string
	key         []byte
	compression options.CompressionType
	blocks      []span
	// wanted is the number of the block that may hold the wanted key, or -1.
	wanted int
}

type span struct{ offset, length int64 }

// ReadTable reads the index of a table, for Get to find the wanted key. Errors other than the system's are
// ErrTable or ErrRegistry.
func ReadTable(
	path string, id uint64, about badger.TableManifest, keys *Keys, wanted []byte,
) (t *Table, err error) {
	key, err := keys.of(about.KeyID)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(path, TableName(id)))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	// Contents not covered by the checksum are not trusted: decoding the index may panic.
	defer func() {
		if recover() != nil {
			t, err = nil, fmt.Errorf("%w: its index cannot be read", ErrTable)
		}
	}()
	t = &Table{name: file.Name(), key: key, compression: about.Compression, wanted: -1}
	index, end, err := readIndex(file, info.Size())
	if err != nil {
		return nil, err
	}
	if key != nil {
		if index, err = decrypt(index, key); err != nil {
			return nil, err
		}
	}
	parsed := fb.GetRootAsTableIndex(index, 0)
	t.Version = parsed.MaxVersion()
	for i := range parsed.OffsetsLength() {
		var block fb.BlockOffset
		parsed.Offsets(&block, i)
		s := span{int64(block.Offset()), int64(block.Len())}
		if s.offset+s.length > end {
			return nil, fmt.Errorf("%w: block %d lies outside of it", ErrTable, i)
		}
		t.blocks = append(t.blocks, s)
		// The index has the first key of each block, with its version.
		if first := block.KeyBytes(); len(first) >= versionEnd &&
			bytes.Compare(y.ParseKey(first), wanted) <= 0 {
			t.wanted = i
		}
	}
	return t, nil
}

// ReadStray is ReadTable for a table that the manifest does not name, so that its encryption and compression
// are unknown.
func ReadStray(path string, id uint64, keys *Keys) (*Table, error) {
	for keyID := uint64(0); ; keyID++ {
		for _, compression := range []options.CompressionType{options.Snappy, options.None} {
			about := badger.TableManifest{KeyID: keyID, Compression: compression}
			t, err := ReadTable(path, id, about, keys, nil)
			switch {
			case errors.Is(err, errNoKey):
				return nil, fmt.Errorf("%w: no key opens it", ErrTable)
			case errors.Is(err, ErrTable):
				continue
			case err != nil:
				return nil, err
			}
			if len(t.blocks) > 0 && t.verify(t.blocks[:1]) == nil {
				return t, nil
			}
		}
	}
}

// readIndex returns the index of a table and its offset. The file ends with the index, its length, a
// checksum, and the checksum's length.
func readIndex(file *os.File, size int64) (index []byte, start int64, err error) {
	at := size
	back := func(n uint64) ([]byte, error) {
		at -= int64(min(n, uint64(size)+1))
		data, err := readAt(file, at, n)
		if err != nil {
			return nil, fmt.Errorf("%w: it is cut short", ErrTable)
		}
		return data, nil
	}
	length, err := back(word)
	if err != nil {
		return nil, 0, err
	}
	sum, err := back(uint64(binary.BigEndian.Uint32(length)))
	if err != nil {
		return nil, 0, err
	}
	var checksum pb.Checksum
	if len(sum) == 0 || proto.Unmarshal(sum, &checksum) != nil {
		return nil, 0, fmt.Errorf("%w: its end is not that of a table", ErrTable)
	}
	if length, err = back(word); err != nil {
		return nil, 0, err
	}
	if index, err = back(uint64(binary.BigEndian.Uint32(length))); err != nil {
		return nil, 0, err
	}
	if len(index) == 0 || y.VerifyChecksum(index, &checksum) != nil {
		return nil, 0, fmt.Errorf("%w: the checksum of its index is wrong", ErrTable)
	}
	return index, at, nil
}

// decrypt decrypts data that ends with its initialization vector.
func decrypt(data, key []byte) ([]byte, error) {
	if len(data) < aes.BlockSize {
		return nil, fmt.Errorf("%w: it is cut short", ErrTable)
	}
	n := len(data) - aes.BlockSize
	return y.XORBlockAllocate(data[:n], key, data[n:])
}

// Verify reads every block of the table and verifies its checksum.
func (t *Table) Verify() error { return t.verify(t.blocks) }

func (t *Table) verify(blocks []span) error {
	file, err := os.Open(t.name)
	if err != nil {
		return err
	}
	defer file.Close()
	for i, block := range blocks {
		if _, err := t.block(file, block); err != nil {
			return fmt.Errorf("%w: block %d of %d, at byte %d: %w",
				ErrTable, i+1, len(t.blocks), block.offset, err)
		}
	}
	return nil
}

var errSum = errors.New("its checksum is wrong")

var errCompression = errors.New("it is compressed in a way that this program does not know")

// block reads a block and verifies its checksum. A block holds entries, their offsets, and their number.
func (t *Table) block(file *os.File, block span) ([]byte, error) {
	data, err := readAt(file, block.offset, uint64(block.length))
	if err != nil {
		return nil, err
	}
	if t.key != nil {
		if data, err = decrypt(data, t.key); err != nil {
			return nil, err
		}
	}
	switch t.compression {
	case options.None:
	case options.Snappy:
		if data, err = snappy.Decode(nil, data); err != nil {
			return nil, err
		}
	default:
		return nil, errCompression
	}
	// A block ends with its checksum and the checksum's length.
	if len(data) < word {
		return nil, errSum
	}
	n := len(data) - word
	length := int64(binary.BigEndian.Uint32(data[n:]))
	if length == 0 || length > int64(n) {
		return nil, errSum
	}
	var checksum pb.Checksum
	end := n - int(length)
	if proto.Unmarshal(data[end:n], &checksum) != nil || y.VerifyChecksum(data[:end], &checksum) != nil {
		return nil, errSum
	}
	return data[:end], nil
}
