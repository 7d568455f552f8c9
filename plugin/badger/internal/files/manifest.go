package files

// The manifest: the tables of a database.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// Manifest holds the change sets of a manifest file, in order.
type Manifest struct {
	Sets []ChangeSet
}

// ChangeSet is one atomic set of changes.
type ChangeSet struct {
	Changes []*pb.ManifestChange
	raw     []byte
}

// Tables are the tables named by a manifest.
type Tables struct {
	// Live are the current tables of the database.
	Live map[uint64]badger.TableManifest
	// Dropped are former tables: a crash may have left their files.
	Dropped map[uint64]bool
}

// The file begins with Badger's magic text, and the versions of the application and of Badger.
const manifestMagic = "Bdgr\x00\x00\x00\x08"

// setHead is the length of a set's header: its length and a checksum.
const setHead = 8

// errManifest means that Badger cannot have written the manifest.
var errManifest = errors.New("the manifest is damaged")

// ReadManifest reads the manifest of the database in a folder like Badger does: a truncated last set is
// ignored.
func ReadManifest(path string) (*Manifest, error) {
	data, err := os.ReadFile(filepath.Join(path, ManifestFile))
	if err != nil {
		return nil, err
	}
	return ParseManifest(data)
}

// ParseManifest is ReadManifest for the contents of the file.
func ParseManifest(data []byte) (*Manifest, error) {
	rest, ours := bytes.CutPrefix(data, []byte(manifestMagic))
	if !ours {
		return nil, fmt.Errorf("%w: it does not begin as one that this program reads", errManifest)
	}
	m := &Manifest{}
	for len(rest) >= setHead {
		length := uint64(binary.BigEndian.Uint32(rest))
		if length > uint64(len(data)) {
			return nil, fmt.Errorf("%w: a set is longer than the file", errManifest)
		}
		if length > uint64(len(rest)-setHead) {
			break
		}
		raw := rest[:setHead+length]
		var set pb.ManifestChangeSet
		sum := crc32.Checksum(raw[setHead:], y.CastagnoliCrcTable)
		if sum != binary.BigEndian.Uint32(raw[setHead/2:]) || proto.Unmarshal(raw[setHead:], &set) != nil {
			return nil, fmt.Errorf("%w: the checksum of a set is wrong", errManifest)
		}
		m.Sets = append(m.Sets, ChangeSet{Changes: set.GetChanges(), raw: raw})
		rest = rest[len(raw):]
	}
	return m, nil
}

// Tables returns the tables after all changes. It returns an error if the changes are inconsistent.
func (m *Manifest) Tables() (*Tables, error) {
	t := &Tables{Live: map[uint64]badger.TableManifest{}, Dropped: map[uint64]bool{}}
	for _, set := range m.Sets {
		for _, change := range set.Changes {
			id := change.GetId()
			_, live := t.Live[id]
			remove := change.GetOp() == pb.ManifestChange_DELETE
			if live != remove {
				return nil, fmt.Errorf("%w: it names table %d twice, or removes it where it is not",
					errManifest, id)
			}
			if remove {
				delete(t.Live, id)
				t.Dropped[id] = true
				continue
			}
			t.Live[id] = badger.TableManifest{
				Level: uint8(change.GetLevel()), KeyID: change.GetKeyId(),
				Compression: options.CompressionType(change.GetCompression()),
			}
		}
	}
	return t, nil
}

// Bytes encodes the manifest file.
func (m *Manifest) Bytes() []byte {
	data := []byte(manifestMagic)
	for _, set := range m.Sets {
		data = append(data, set.raw...)
	}
	return data
}

const (
	registryIV     = 16
	registryHeader = registryIV + 12 // and a text that verifies the key
)

// ErrRegistry means that Badger cannot have written the key registry.
var ErrRegistry = errors.New("the key registry is damaged")

// Keys are the keys with which the files are encrypted.
type Keys struct{ registry *badger.KeyRegistry }

// ReadKeys reads the key registry, which may be missing. Its error is ErrRegistry, or
// badger.ErrEncryptionKeyMismatch for a wrong key.
func ReadKeys(path string, encryption []byte) (*Keys, error) {
	file, err := os.Open(filepath.Join(path, KeyRegistry))
	if errors.Is(err, os.ErrNotExist) {
		return &Keys{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	header, err := readAt(file, 0, registryHeader)
	if err != nil || allZero(header[:registryIV]) {
		return nil, ErrRegistry
	}
	registry, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{
		Dir: path, ReadOnly: true, EncryptionKey: encryption,
	})
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRegistry, err)
	}
	return &Keys{registry: registry}, nil
}

// errNoKey means that the registry does not have the key of a file.
var errNoKey = fmt.Errorf("%w: a file is encrypted with a key that it does not have", ErrRegistry)

// of returns the key with an id, or nil for 0, which means no encryption.
func (k *Keys) of(id uint64) ([]byte, error) {
	if id == 0 {
		return nil, nil
	}
	if k.registry == nil {
		return nil, errNoKey
	}
	key, err := k.registry.DataKey(id)
	if err != nil {
		return nil, errNoKey
	}
	return key.GetData(), nil
}

func allZero(data []byte) bool {
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}
