package backup

// The format of a backup: frames, header, summary.

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// Format is the version of the format. A newer one is refused. Version 2 added a kind of records, the
// properties of a store, unknown to readers of version 1.
const Format = 2

const (
	magic = "fosite-sessions backup\n"

	frameHeader  = 'H'
	frameRecords = 'R'
	frameSummary = 'S'

	prefixLength = 1 + 4
	// maxPayload bounds a frame: it fits a batch, which is bounded, and by far the largest record.
	maxPayload = 16 << 20
)

// Errors of reading a file.
var (
	// ErrNone means that the file is not a backup.
	ErrNone = errors.New("it is no backup of a session store")
	// ErrDamaged means that the file was truncated or changed.
	ErrDamaged = errors.New("the backup is damaged or cut short")
	// ErrFormat means that the file's format is newer than this program.
	ErrFormat = errors.New("the backup's format is newer than this program")
)

// Header describes the store that was backed up.
type Header struct {
	// Format is the format of the file.
	Format int `json:"format"`
	// Backend, Version and StoreFormat are from the backend's description.
	Backend     string `json:"backend"`
	Version     string `json:"version"`
	StoreFormat uint32 `json:"store_format"`
	// State is the store's state when the backup was taken. A superseded store has not changed since it was
	// superseded.
	State transfer.State `json:"state"`
	// Taken is when the backup began.
	Taken time.Time `json:"taken"`
	// Records is the number of records in the store when the backup began. The snapshot that follows may have
	// more or fewer if the store serves.
	Records int64 `json:"records"`
}

// Summary is the content of a file.
type Summary struct {
	Records int64         `json:"records"`
	Kinds   []KindSummary `json:"kinds"`
}

// KindSummary is the transfer.Content of a kind.
type KindSummary struct {
	Kind  transfer.Kind `json:"kind"`
	Name  string        `json:"name"`
	Count int64         `json:"count"`
	Sum   uint64        `json:"sum"`
}

// Of returns the number of records of a kind.
func (s *Summary) Of(kind transfer.Kind) int64 {
	for _, k := range s.Kinds {
		if k.Kind == kind {
			return k.Count
		}
	}
	return 0
}

// contents collects counts and sums of records.
type contents map[transfer.Kind]transfer.Content

func (c contents) add(r *transfer.Record) {
	content := c[r.Kind]
	content.Add(r)
	c[r.Kind] = content
}

func (c contents) summary() *Summary {
	s := &Summary{Kinds: []KindSummary{}}
	for _, k := range slices.Sorted(maps.Keys(c)) {
		s.Kinds = append(s.Kinds, KindSummary{Kind: k, Name: k.String(), Count: c[k].Count, Sum: c[k].Sum})
		s.Records += c[k].Count
	}
	return s
}

// frames writes frames. Each is a single Write, so that a writer with a deadline gets bounded pieces.
type frames struct {
	w     io.Writer
	chain [sha256.Size]byte
}

func (f *frames) write(kind byte, payload []byte) error {
	if len(payload) > maxPayload {
		return fmt.Errorf("a frame of %d bytes is larger than %d", len(payload), maxPayload)
	}
	frame := make([]byte, 0, prefixLength+len(payload)+sha256.Size)
	frame = append(frame, kind)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(payload)))
	frame = append(frame, payload...)
	f.chain = next(f.chain, frame)
	_, err := f.w.Write(append(frame, f.chain[:]...))
	return err
}

func (f *frames) writeJSON(kind byte, value any) error {
	payload, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return f.write(kind, payload)
}

// next returns the sum of a frame that follows another.
func next(chain [sha256.Size]byte, frame []byte) (sum [sha256.Size]byte) {
	hash := sha256.New()
	_, _ = hash.Write(chain[:])
	_, _ = hash.Write(frame)
	hash.Sum(sum[:0])
	return sum
}

func appendRecord(payload []byte, r *transfer.Record) []byte {
	payload = append(payload, byte(r.Kind))
	payload = binary.AppendUvarint(payload, uint64(len(r.Key)))
	payload = append(payload, r.Key...)
	payload = binary.AppendUvarint(payload, uint64(len(r.Data)))
	return append(payload, r.Data...)
}

// splitRecords is the reverse of appendRecord for a whole payload.
func splitRecords(payload []byte) (records []transfer.Record, err error) {
	for len(payload) > 0 {
		r := transfer.Record{Kind: transfer.Kind(payload[0])}
		payload = payload[1:]
		for _, part := range []*[]byte{&r.Key, &r.Data} {
			n, used := binary.Uvarint(payload)
			if used <= 0 || n > uint64(len(payload)-used) {
				return nil, fmt.Errorf("%w: a record is longer than its frame", ErrDamaged)
			}
			*part, payload = payload[used:used+int(n)], payload[used+int(n):]
		}
		records = append(records, r)
	}
	return records, nil
}

// decodeJSON rejects unknown fields: a file of this format has none.
func decodeJSON(payload []byte, value any) error {
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(value); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}
