package check

// Statistics of a database: rows by table, and sizes of files.

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/internal/offline"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// Stats are the statistics of a database.
type Stats struct {
	offline.Figures
	// Encrypted is whether the database was opened with a key.
	Encrypted bool `json:"encrypted"`
	// JobsStopped is the number of unfinished endings that an error has stopped.
	JobsStopped int `json:"jobs_stopped"`
	// RowBytes is the size of each table's rows, keys and values, before compression. It requires reading the
	// whole database.
	RowBytes map[string]int64 `json:"row_bytes"`
	// Bytes are the sizes of files: tables, logs and all others.
	Bytes Sizes `json:"bytes"`
}

// Sizes are the sizes of a database's files. Logs are sparse: they may occupy less of the disk.
type Sizes struct {
	Tables int64 `json:"tables"`
	Logs   int64 `json:"logs"`
	Other  int64 `json:"other"`
}

// Measure measures a database (Engine.Stats).
func Measure(ctx context.Context, db *kv.DB) (*Stats, error) {
	s := &Stats{
		Figures: offline.Figures{
			Format: db.Format(), Newest: layout.Version, Records: map[string]int64{},
			Deliveries: map[string]int64{},
		},
		Encrypted: len(db.Badger().Opts().EncryptionKey) > 0, RowBytes: map[string]int64{},
	}
	err := db.Look(ctx, func(r *kv.Snapshot) error {
		ledger, err := kv.LoadLedger(r)
		if err != nil {
			return err
		}
		s.State, s.Peer = transfer.State(ledger.GetState()), ledger.GetPeer()
		s.Move, s.Origin = ledger.GetId(), ledger.GetOrigin()
		s.Journaled = ledger.GetJournaled() - ledger.GetAcknowledged()
		contents, found, err := kv.LoadContents(r)
		if err == nil && !found {
			contents, err = kv.CountContents(ctx, r)
		}
		if err != nil {
			return err
		}
		for _, kind := range transfer.Kinds {
			s.Records[kind.String()] = contents[kind].Count
		}
		if err := s.countDeliveries(r); err != nil {
			return err
		}
		if err := s.measureRows(r); err != nil {
			return err
		}
		return s.countJobs(r)
	})
	if err != nil {
		return nil, err
	}
	s.Bytes, err = sizesOf(db.Folder())
	return s, err
}

func (s *Stats) countDeliveries(r kv.Reader) error {
	return r.Scan(layout.IndexNotificationState, nil, false,
		func(k []byte, _ func() ([]byte, error)) (bool, error) {
			state, _, found := bytes.Cut(k[len(layout.IndexNotificationState):], []byte{0})
			if !found {
				return false, layout.DamagedEntry(k)
			}
			s.Deliveries[string(state)]++
			return true, nil
		})
}

func (s *Stats) measureRows(r kv.Reader) error {
	for i := range layout.Tables {
		t := &layout.Tables[i]
		err := r.Scan(t.Prefix, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
			v, err := value()
			if layout.TableOf(k) == t {
				s.RowBytes[t.Name] += int64(len(k) + len(v))
			}
			return true, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Stats) countJobs(r kv.Reader) error {
	ids, err := kv.IDsUnder(r, layout.IndexJobRunning)
	for _, id := range ids {
		job, err := kv.Find[records.Job](r, layout.JobKey(id))
		if err != nil {
			return err
		}
		s.JobsRunning++
		if job.GetError() != "" {
			s.JobsStopped++
		}
	}
	return err
}

func sizesOf(folder string) (sizes Sizes, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return sizes, err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // deleted meanwhile
		}
		sizes.add(info)
	}
	return sizes, nil
}

func (s *Sizes) add(info fs.FileInfo) {
	switch strings.ToLower(filepath.Ext(info.Name())) {
	case ".sst":
		s.Tables += info.Size()
	case ".vlog", ".mem":
		s.Logs += info.Size()
	default:
		s.Other += info.Size()
	}
}
