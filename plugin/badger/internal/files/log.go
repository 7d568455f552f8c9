package files

// Logs of memory tables, read like Badger does.

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/y"
)

// LogHeader is the length of a log's header: a key id and a random part.
const LogHeader = 20

const (
	keyIDLength = 8
	maxKey      = 1 << 16
	maxEntry    = 1 << 30

	bitValuePointer = 1 << 1
	bitTxn          = 1 << 6
	bitFinTxn       = 1 << 7
)

// Log is the log of a memory table.
type Log struct {
	File
	// Blank: it has no header, as a log that was just created.
	Blank bool
	// End is where its last complete transaction ends. Entries counts the entries up to there.
	End     int64
	Entries int
	// Torn: data other than a complete transaction follows.
	Torn bool
	// First and Last are the versions of the first and the last transaction.
	First, Last uint64
	// Values are the value-log files to which its rows point.
	Values map[uint64]bool
	// Found is the value of the wanted key, or nil.
	Found []byte
}

// ReadLog reads a log to its end, as Badger does when it opens a database, and looks for a key. Errors other
// than the system's are ErrRegistry.
func ReadLog(path string, file File, keys *Keys, wanted []byte) (*Log, error) {
	opened, err := os.Open(filepath.Join(path, file.Name))
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	l := &Log{File: file, End: min(file.Size, LogHeader), Values: map[uint64]bool{}}
	header := make([]byte, LogHeader)
	switch _, err := io.ReadFull(opened, header); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err == nil && allZero(header):
		l.Blank = true
		return l, nil
	case err != nil:
		return nil, err
	}
	r := &entryReader{
		r: bufio.NewReaderSize(opened, 1<<20), offset: LogHeader, iv: header[keyIDLength:], wanted: wanted,
	}
	if r.key, err = keys.of(binary.BigEndian.Uint64(header)); err != nil {
		return nil, err
	}
	err = l.read(r)
	return l, err
}

func (l *Log) read(r *entryReader) error {
	var begun []entry
	for {
		e, err := r.next()
		if errors.Is(err, errNoEntry) {
			l.Torn = len(begun) > 0 || !r.blank
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case e.meta&bitTxn != 0:
			begun = append(begun, e)
			continue
		case e.meta&bitFinTxn != 0:
			for _, e := range begun {
				if l.First == 0 {
					l.First = e.version
				}
				l.Last = e.version
				l.take(e)
			}
			begun = begun[:0]
		default: // moved by Badger from the value log
			if len(begun) > 0 {
				l.Torn = true
				return nil
			}
			l.take(e)
		}
		l.End = r.offset
	}
}

func (l *Log) take(e entry) {
	l.Entries++
	if e.meta&bitValuePointer != 0 {
		l.Values[e.values] = true
	}
	if e.found != nil {
		l.Found = e.found
	}
}

type entry struct {
	meta    byte
	version uint64
	// values is the value-log file of its value.
	values uint64
	// found is its value if its key is the wanted one.
	found []byte
}

// errNoEntry means that what follows is not an entry.
var errNoEntry = errors.New("no entry")

type entryReader struct {
	r      *bufio.Reader
	offset int64
	key    []byte
	iv     []byte
	wanted []byte
	// blank: no entry followed, only zeros or the end.
	blank bool
}

// next reads an entry: its header of meta, user meta, and the lengths of key and value and an expiry as
// varints; key and value; a checksum.
func (r *entryReader) next() (e entry, err error) {
	head, err := r.r.Peek(headMax)
	if err != nil && !errors.Is(err, io.EOF) {
		return e, err
	}
	if r.blank = allZero(head); r.blank {
		return e, errNoEntry
	}
	const metas = 2
	at, lengths := metas, [3]uint64{} // of the key and the value; the expiry
	for i := range lengths {
		if at >= len(head) {
			return e, errNoEntry
		}
		number, n := binary.Uvarint(head[at:])
		if n <= 0 {
			return e, errNoEntry
		}
		lengths[i] = number
		at += n
	}
	if lengths[0] > maxKey || lengths[1] > maxEntry || lengths[0] == 0 {
		return e, errNoEntry
	}
	data := make([]byte, at+int(lengths[0])+int(lengths[1])+crc32.Size)
	if _, err := io.ReadFull(r.r, data); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return e, errNoEntry
	} else if err != nil {
		return e, err
	}
	sum := len(data) - crc32.Size
	if crc32.Checksum(data[:sum], y.CastagnoliCrcTable) != binary.BigEndian.Uint32(data[sum:]) {
		return e, errNoEntry
	}
	body := data[at:sum]
	if r.key != nil {
		iv := make([]byte, aes.BlockSize)
		copy(iv, r.iv)
		binary.BigEndian.PutUint32(iv[len(r.iv):], uint32(r.offset))
		if body, err = y.XORBlockAllocate(body, r.key, iv); err != nil {
			return e, err
		}
	}
	e.meta, e.version = data[0], y.ParseTs(body[:lengths[0]])
	value := body[lengths[0]:]
	switch {
	case e.meta&bitValuePointer != 0 && len(value) >= crc32.Size:
		e.values = uint64(binary.NativeEndian.Uint32(value))
	case r.wanted != nil && lengths[0] > versionEnd && bytes.Equal(y.ParseKey(body[:lengths[0]]), r.wanted):
		e.found = value
	}
	r.offset += int64(len(data))
	return e, nil
}

// headMax is the maximum length of an entry's header.
const headMax = 22

// Begins reports whether a log, or a file of the value log, has a header and an entry. It reads no further.
func Begins(path string, file File) (header, entry bool, err error) {
	opened, err := os.Open(filepath.Join(path, file.Name))
	if err != nil {
		return false, false, err
	}
	defer opened.Close()
	begin := make([]byte, LogHeader+headMax)
	n, err := io.ReadFull(opened, begin)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, false, err
	}
	if n < LogHeader {
		return false, false, nil
	}
	return !allZero(begin[:LogHeader]), !allZero(begin[LogHeader:]), nil
}
