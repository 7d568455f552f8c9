package backup

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// framed returns a file of these frames, with valid sums.
func framed(t testing.TB, payloads ...[]byte) []byte {
	t.Helper()
	var file bytes.Buffer
	file.WriteString(magic)
	f := &frames{w: &file}
	for _, p := range payloads {
		if err := f.write(p[0], p[1:]); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

// headerFrame is the payload of a header as Write makes it.
const headerFrame = `H{"format":1,"backend":"x","version":"x","store_format":1,"state":"active",` +
	`"taken":"2026-01-02T03:04:05Z","records":0}`

// A sum is not a signature: frames with a correct sum are validated too.
func TestReaderValidatesFramesWithCorrectSums(t *testing.T) {
	t.Parallel()
	header, none := []byte(headerFrame), []byte(`S{"records":0,"kinds":[]}`)
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"empty":                          {framed(t, header, none), nil},
		"a newer format":                 {framed(t, []byte(`H{"format":3,"news":true}`)), ErrFormat},
		"not JSON":                       {framed(t, []byte(`H?`)), ErrDamaged},
		"a header with an unknown field": {framed(t, []byte(`H{"format":1,"news":true}`)), ErrDamaged},
		"an unknown frame":               {framed(t, header, []byte(`X`), none), ErrDamaged},
		"a record with an unterminated length": {
			framed(t, header, []byte("R\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), none), ErrDamaged,
		},
		"a record longer than its frame": {framed(t, header, []byte("R\x01\x05abc"), none), ErrDamaged},
		"a record without data":          {framed(t, header, []byte("R\x01\x01a"), none), ErrDamaged},
		"records missing in the summary": {framed(t, header, []byte("R\x01\x01a\x00"), none), ErrDamaged},
		"too long a frame":               {append([]byte(magic), "H\xff\xff\xff\xff"...), ErrDamaged},
	} {
		r, err := NewReader(bytes.NewReader(c.file))
		for err == nil && r.summary == nil {
			_, err = r.batch()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func FuzzReader(f *testing.F) {
	header := []byte(headerFrame)
	f.Add(framed(f, header, []byte(`S{"records":0,"kinds":[]}`)))
	f.Add(framed(f, header,
		appendRecord([]byte("R"), &transfer.Record{Kind: 1, Key: []byte("sid"), Data: []byte("x")})))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		n := int64(0)
		for records, err := range r.Batches(t.Context()) {
			if err != nil {
				if r.Summary() != nil {
					t.Error("a file with an error was read to its end")
				}
				return
			}
			n += int64(len(records))
		}
		if _, err := r.r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Error("a record after the end")
		}
		if total := r.read.summary().Records; total != n {
			t.Errorf("%d records, and %d in the summary", n, total)
		}
	})
}

func FuzzSplitRecords(f *testing.F) {
	f.Add(appendRecord(nil,
		&transfer.Record{Kind: 8, Key: []byte("id"), Data: bytes.Repeat([]byte("x"), 300)}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		records, err := splitRecords(payload)
		if err != nil {
			return
		}
		var again []byte
		for i := range records {
			again = appendRecord(again, &records[i])
		}
		// A length may have a longer encoding than necessary, with the same value.
		if back, err := splitRecords(again); err != nil || len(back) != len(records) {
			t.Errorf("%d records, written and read again %d, error %v", len(records), len(back), err)
		}
	})
}
