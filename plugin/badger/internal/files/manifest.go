package files

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// Tables are those that the manifest names.
type Tables struct {
	// Live are the tables of the database.
	Live map[uint64]badger.TableManifest
	// Dropped have been: a crash may have left their files.
	Dropped map[uint64]bool
}

const manifestHeader = 8

// ReadManifest reads the manifest of the database in a folder.
func ReadManifest(path string) (*Tables, error) {
	file, err := os.Open(filepath.Join(path, Manifest))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	manifest, end, err := badger.ReplayManifestFile(file, 0, badger.Options{})
	if err != nil {
		return nil, err
	}
	tables := &Tables{Live: manifest.Tables, Dropped: map[uint64]bool{}}
	data, err := readAt(file, 0, uint64(end))
	if err != nil {
		return nil, err
	}
	// Badger has read it so far: each set of changes is its length, a checksum and a message.
	for data = data[manifestHeader:]; len(data) >= manifestHeader; {
		length := binary.BigEndian.Uint32(data)
		data = data[manifestHeader:]
		var set pb.ManifestChangeSet
		if err := proto.Unmarshal(data[:length], &set); err != nil {
			return nil, err
		}
		data = data[length:]
		for _, change := range set.GetChanges() {
			if change.GetOp() == pb.ManifestChange_DELETE {
				tables.Dropped[change.GetId()] = true
			}
		}
	}
	return tables, nil
}

const (
	registryIV     = 16
	registryHeader = registryIV + 12 // and a text that says whether the key is right
)

// ErrRegistry means that the key registry is not what Badger has written.
var ErrRegistry = errors.New("the key registry is damaged")

// Keys are those that the files are encrypted with.
type Keys struct{ registry *badger.KeyRegistry }

// ReadKeys reads the key registry, which may be missing. Its error is ErrRegistry, or badger.ErrEncryptionKeyMismatch where it is another key's.
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
	registry, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: path, ReadOnly: true, EncryptionKey: encryption})
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRegistry, err)
	}
	return &Keys{registry: registry}, nil
}

// errNoKey: the registry does not have the key of a file.
var errNoKey = fmt.Errorf("%w: a file is encrypted with a key that it does not have", ErrRegistry)

// of returns the key of a number, nil for 0, which is that of plain files.
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
