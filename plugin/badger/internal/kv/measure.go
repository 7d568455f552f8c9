package kv

// Measurements: spans of traced calls, and figures of commits.

import (
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/spans"
)

// system is the engine's name in the semantic conventions for databases.
const system = "badger"

// meter counts commits.
type meter struct {
	mu      sync.Mutex
	figures sessions.Figures
}

func (m *meter) committed(changes int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.figures.NoteCommit(changes, took)
}

// Figures returns figures of the commits and sizes on disk.
func (d *DB) Figures() sessions.Figures {
	figures := sessions.Figures{DiskUsed: -1, DiskFree: -1}
	if d.committer != nil {
		d.committer.meter.mu.Lock()
		figures = d.committer.meter.figures
		d.committer.meter.mu.Unlock()
	}
	tables, logs := d.db.Size()
	figures.DiskUsed, figures.DiskFree = tables+logs, -1
	if free := d.space.Room().Free(); free < math.MaxInt64 {
		figures.DiskFree = int64(free)
	}
	return figures
}

// Attributes of spans. Those of a read are constant.
var (
	ofReads   = []spans.Attribute{{Key: spans.System, Value: system}, {Key: spans.Operation, Value: "read"}}
	ofCommits = []spans.Attribute{{Key: spans.System, Value: system}, {Key: spans.Operation, Value: "commit"}}
)

// times are the times of a commit.
type times struct{ began, applied, durable time.Time }

// trace adds the spans of a commit to its traced changes: the wait for the previous transaction, the
// application of all changes in this one, and its write including the sync.
func (t *times) trace(changes []*Change) {
	for _, ch := range changes {
		if ch.spans == nil {
			continue
		}
		sized := append(slices.Clip(ofCommits), spans.Attribute{
			Key: spans.BatchSize, Value: strconv.Itoa(len(changes)),
		})
		ch.spans.Add(spans.Span{Name: "commit wait", Start: ch.asked, End: t.began, Attributes: ofCommits})
		ch.spans.Add(spans.Span{Name: "commit apply", Start: t.began, End: t.applied, Attributes: sized})
		ch.spans.Add(spans.Span{Name: "commit sync", Start: t.applied, End: t.durable, Attributes: sized})
	}
}
