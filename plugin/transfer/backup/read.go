package backup

// Reading backup files, verifying every sum.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// Reader reads a file and verifies all its sums.
type Reader struct {
	r      io.Reader
	chain  [sha256.Size]byte
	offset int64
	header Header
	read   contents
	// summary is nil until the end of the file.
	summary *Summary
}

// NewReader reads the header of a file. It returns ErrNone, ErrFormat or ErrDamaged.
func NewReader(r io.Reader) (*Reader, error) {
	reader := &Reader{r: r, read: contents{}}
	begin := make([]byte, len(magic))
	n, err := io.ReadFull(r, begin)
	reader.offset = int64(n)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, err
	case err != nil && n > 0 && magic[:n] == string(begin[:n]):
		return nil, reader.damaged("it is empty")
	case string(begin) != magic:
		return nil, ErrNone
	}
	kind, payload, err := reader.frame()
	if err != nil {
		return nil, err
	}
	// A newer header may have unknown fields.
	var header struct{ Format int }
	if err := json.Unmarshal(payload, &header); err != nil || kind != frameHeader {
		return nil, reader.damaged("it has no header")
	}
	if header.Format > Format {
		return nil, fmt.Errorf("%w: %d, want at most %d", ErrFormat, header.Format, Format)
	}
	return reader, decodeJSON(payload, &reader.header)
}

// Header returns the file's header.
func (r *Reader) Header() Header { return r.header }

// Batches returns the records for an import. It ends with the first error. The file is complete only if it
// ends without an error: earlier records may be part of a damaged file.
func (r *Reader) Batches(ctx context.Context) iter.Seq2[[]transfer.Record, error] {
	return func(yield func([]transfer.Record, error) bool) {
		for r.summary == nil {
			records, err := r.batch()
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if len(records) > 0 && !yield(records, nil) {
				return
			}
		}
	}
}

// Summary returns the summary of the file, or nil before the end of Batches.
func (r *Reader) Summary() *Summary { return r.summary }

// batch reads a frame of records, or the summary.
func (r *Reader) batch() ([]transfer.Record, error) {
	kind, payload, err := r.frame()
	switch {
	case err != nil:
		return nil, err
	case kind == frameSummary:
		return nil, r.end(payload)
	case kind != frameRecords:
		return nil, r.damaged("a frame has an unknown type")
	}
	records, err := splitRecords(payload)
	for i := range records {
		r.read.add(&records[i])
	}
	return records, err
}

// end compares what was read with the summary.
func (r *Reader) end(payload []byte) error {
	summary := &Summary{}
	if err := decodeJSON(payload, summary); err != nil {
		return err
	}
	said := contents{}
	for _, k := range summary.Kinds {
		said[k.Kind] = transfer.Content{Count: k.Count, Sum: k.Sum}
	}
	if !maps.Equal(r.read, said) {
		return r.damaged("its records differ from its summary")
	}
	if n, err := io.ReadFull(r.r, make([]byte, 1)); n > 0 {
		return r.damaged("something comes after its end")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	r.summary = summary
	return nil
}

func (r *Reader) frame() (kind byte, payload []byte, err error) {
	prefix := make([]byte, prefixLength)
	if err := r.fill(prefix); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(prefix[1:])
	if length > maxPayload {
		return 0, nil, r.damaged("a frame is longer than frames are")
	}
	frame := make([]byte, prefixLength+int(length)+sha256.Size)
	copy(frame, prefix)
	if err := r.fill(frame[prefixLength:]); err != nil {
		return 0, nil, err
	}
	body, sum := frame[:prefixLength+int(length)], frame[prefixLength+int(length):]
	r.chain = next(r.chain, body)
	if !bytes.Equal(r.chain[:], sum) {
		return 0, nil, r.damaged("a frame differs from its sum")
	}
	return body[0], body[prefixLength:], nil
}

func (r *Reader) fill(p []byte) error {
	n, err := io.ReadFull(r.r, p)
	r.offset += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.damaged("it ends before its summary")
	}
	return err
}

func (r *Reader) damaged(how string) error {
	return fmt.Errorf("%w: %s, some %d bytes from its beginning", ErrDamaged, how, r.offset)
}
