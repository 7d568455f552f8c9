package kv

// What the database measures: spans of calls that are traced, and figures of its commits.

import (
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/spans"
)

// system is the engine as semantic conventions for databases call it.
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

// Figures are those of the commits, and the sizes on the disk.
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

// The attributes of spans. Those of a read are always the same.
var (
	ofReads   = []spans.Attribute{{Key: spans.System, Value: system}, {Key: spans.Operation, Value: "read"}}
	ofCommits = []spans.Attribute{{Key: spans.System, Value: system}, {Key: spans.Operation, Value: "commit"}}
)

// times are the moments of a commit.
type times struct{ began, applied, durable time.Time }

// trace adds the spans of a commit to those of its changes that are traced: the wait for the transaction
// under way, the changes of all callers in this one, and the write of it that ends with the disk's sync.
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
