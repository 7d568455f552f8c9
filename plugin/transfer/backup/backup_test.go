package backup_test

// Tests of writing, damaging and reading backups.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/plugin/transfer/backup"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// taken returns a backup of a store with that many sessions.
func taken(t testing.TB, sessions int) []byte {
	t.Helper()
	noSync := false
	e, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir(), Sync: &noSync, MemoryMiB: 64},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	for i := range sessions {
		err := e.Tickets().Create(t.Context(), &ticketstore.Session{
			Key: ticketstore.KeyOf([]byte{byte(i), byte(i >> 8)}), SessionID: fmt.Sprintf("sid-%d", i),
			SubjectID: "ann", Issuer: "https://op.example",
			AuthTime: now, Created: now, Renewed: now, Expires: now.Add(time.Hour), Ticket: []byte("sealed"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	description, err := e.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	summary, err := backup.Write(t.Context(), &file,
		backup.Source{Store: e.Transfer(), Description: description}, now, nil)
	if err != nil || summary.Of(transfer.Sessions) != int64(sessions) {
		t.Fatalf("summary %+v, error %v, want %d sessions", summary, err, sessions)
	}
	return file.Bytes()
}

// readAll reads a file to its end and counts its records.
func readAll(t testing.TB, file io.Reader) (r *backup.Reader, records int, err error) {
	t.Helper()
	if r, err = backup.NewReader(file); err != nil {
		return nil, 0, err
	}
	for batch, err := range r.Batches(t.Context()) {
		if err != nil {
			return r, records, err
		}
		records += len(batch)
	}
	return r, records, nil
}

func TestHeaderAndSummary(t *testing.T) {
	t.Parallel()
	r, records, err := readAll(t, iotest.OneByteReader(bytes.NewReader(taken(t, 3))))
	if err != nil {
		t.Fatal(err)
	}
	header := r.Header()
	if header.Format != backup.Format || header.Backend != "badger" || header.StoreFormat == 0 ||
		header.State != transfer.Active ||
		!header.Taken.Equal(now) || header.Records != 3 || records != 3 || r.Summary().Records != 3 {
		t.Errorf("header %+v, summary %+v, %d records", header, r.Summary(), records)
	}
}

func refused(t *testing.T, file []byte, what string) {
	t.Helper()
	r, _, err := readAll(t, bytes.NewReader(file))
	if !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrNone) {
		t.Errorf("%s: error %v, want ErrDamaged", what, err)
	}
	if r != nil && r.Summary() != nil {
		t.Errorf("%s: read to its end", what)
	}
}

func TestEveryChangedByteIsDetected(t *testing.T) {
	t.Parallel()
	file := taken(t, 2)
	for at := range file {
		changed := bytes.Clone(file)
		changed[at] ^= 1 << rand.IntN(8)
		refused(t, changed, fmt.Sprintf("byte %d of %d changed", at, len(file)))
	}
}

func TestEveryCutIsDetected(t *testing.T) {
	t.Parallel()
	file := taken(t, 2)
	for length := range file {
		refused(t, file[:length], fmt.Sprintf("%d of %d bytes", length, len(file)))
	}
}

// split splits a file into its magic line and its frames.
func split(file []byte) (parts [][]byte) {
	line := bytes.IndexByte(file, '\n') + 1
	parts, file = append(parts, file[:line]), file[line:]
	for len(file) > 0 {
		n := 5 + int(binary.BigEndian.Uint32(file[1:])) + 32
		parts, file = append(parts, file[:n]), file[n:]
	}
	return parts
}

func TestFrameOrderIsChecked(t *testing.T) {
	t.Parallel()
	parts := split(taken(t, 1100))
	if len(parts) != 6 {
		t.Fatalf("%d parts, want a line, a header, three frames of records and a summary", len(parts))
	}
	for name, order := range map[string][]int{
		"one missing":                {0, 1, 2, 4, 5},
		"one twice":                  {0, 1, 2, 2, 3, 4, 5},
		"two in the wrong order":     {0, 1, 3, 2, 4, 5},
		"no header":                  {0, 2, 3, 4, 5},
		"no records":                 {0, 1, 5},
		"two headers":                {0, 1, 1, 2, 3, 4, 5},
		"no summary":                 {0, 1, 2, 3, 4},
		"two summaries":              {0, 1, 2, 3, 4, 5, 5},
		"records after summary":      {0, 1, 2, 3, 5, 4},
		"two files in one":           {0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5},
		"without its first line":     {1, 2, 3, 4, 5},
		"truncated after its header": {0, 1},
		"only the first line":        {0},
		"nothing":                    {},
	} {
		var file []byte
		for _, i := range order {
			file = append(file, parts[i]...)
		}
		refused(t, file, name)
	}
	if other := split(taken(t, 1101)); !bytes.Equal(other[0], parts[0]) {
		t.Error("two files have different first lines")
	} else {
		other[2] = parts[2]
		refused(t, bytes.Join(other, nil), "a frame from another file")
	}
}

func TestReadErrorIsNotDamage(t *testing.T) {
	t.Parallel()
	file := taken(t, 2)
	gone := errors.New("connection lost")
	for _, n := range []int64{0, 30, int64(len(file)) - 5} {
		_, _, err := readAll(t,
			io.MultiReader(io.LimitReader(bytes.NewReader(file), n), iotest.ErrReader(gone)))
		if !errors.Is(err, gone) || errors.Is(err, backup.ErrDamaged) {
			t.Errorf("after %d bytes: %v, want the reader's own error", n, err)
		}
	}
}
