package hostadapter

// Missing sealing keys: which keys, how many records need them, and how operators learn of it.

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

const (
	// maxKeyIDs bounds the key ids that a store records: the latest ones.
	maxKeyIDs = 16
	// countAgain is how often records with missing keys are counted, as long as there are any.
	countAgain = time.Hour
	// countSoon is the delay after a count that failed or was interrupted.
	countSoon = time.Minute
)

func splitKeyIDs(value []byte) (ids []keyID) {
	for id := range slices.Chunk(value, sealKeyID) {
		if len(id) == sealKeyID {
			ids = append(ids, keyID(id))
		}
	}
	return ids
}

func joinKeyIDs(ids []keyID) (value []byte) {
	for _, id := range ids {
		value = append(value, id[:]...)
	}
	return value
}

func formatKeyIDs(ids []keyID) string {
	texts := make([]string, 0, len(ids))
	for _, id := range ids {
		texts = append(texts, hex.EncodeToString(id[:]))
	}
	return strings.Join(texts, ", ")
}

// missingKeys are keys that have sealed records of the store but are not in Config.Keys: they were removed
// while records sealed with them existed, or none of these records are left. Only a count can tell.
type missingKeys struct {
	mu  sync.Mutex
	ids []keyID
	// sealed counts the records sealed with them, as of the latest count, or nil before the first; uncounted
	// is why the count failed.
	sealed    *sealedCounts
	uncounted error
}

type sealedCounts struct{ sessions, grants int }

func (m *missingKeys) watch(ids []keyID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ids, m.sealed, m.uncounted = ids, nil, nil
}

func (m *missingKeys) watched() []keyID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ids
}

// trouble describes, for operators, what cannot be opened.
func (m *missingKeys) trouble() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch ids := formatKeyIDs(m.ids); {
	case len(m.ids) == 0 || (m.sealed == nil && m.uncounted == nil):
		return ""
	case m.sealed == nil:
		return fmt.Sprintf("sessions and tokens that were sealed with keys %s, which are not among "+
			"Config.Keys, cannot be opened; how many there are is unknown: %v", ids, m.uncounted)
	default:
		return fmt.Sprintf("%d sessions and %d tokens or consents cannot be opened: they were sealed with "+
			"keys %s, which are not among Config.Keys: they were taken out too early", m.sealed.sessions,
			m.sealed.grants, ids)
	}
}

// countMissing counts the records sealed with missing keys, until none are left: then it removes the keys
// from the store's list. It scans the whole store, which only a missing key justifies.
func (a *Adapter) countMissing(ctx context.Context) {
	for missing := a.missing.watched(); len(missing) > 0; missing = a.missing.watched() {
		pause := countAgain
		counts, left, err := a.countServing(ctx, missing)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNotNow):
			pause = countSoon
		case err != nil:
			a.config.Logger.WarnContext(ctx, "records with missing keys cannot be counted",
				"keys", formatKeyIDs(missing), "error", err)
			a.missing.mu.Lock()
			a.missing.uncounted = err
			a.missing.mu.Unlock()
			if !errors.Is(err, errNotMovable) {
				pause = countSoon
			}
		default:
			a.foundMissing(ctx, missing, left, counts)
			if len(left) == 0 {
				return
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// errNotNow means that a swap or a backup takes precedence over the count.
var errNotNow = errors.New("a swap or a backup is under way")

// countServing counts on the serving backend, unless a swap or a backup is running or begins.
func (a *Adapter) countServing(ctx context.Context, missing []keyID) (*sealedCounts, []keyID, error) {
	ctx, end, ok := a.swaps.beginCount(ctx)
	if !ok {
		return nil, missing, errNotNow
	}
	defer end()
	counts, left, err := a.countSealed(ctx, missing)
	if ctx.Err() != nil {
		return nil, missing, errNotNow
	}
	return counts, left, err
}

// beginCount reserves the slot for a count, unless a swap or a backup is running. Either of these cancels the
// count and waits for its end: the count's export must neither outlive the backend nor conflict with theirs.
func (s *swaps) beginCount(ctx context.Context) (running context.Context, end func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed() || s.running != nil || s.backup != nil {
		return nil, nil, false
	}
	running, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	s.endCount = func() { cancel(); <-over }
	return running, func() { cancel(); close(over) }, true
}

// foundMissing records the result of a count.
func (a *Adapter) foundMissing(ctx context.Context, missing, left []keyID, counts *sealedCounts) {
	a.missing.mu.Lock()
	a.missing.ids, a.missing.sealed = left, counts
	a.missing.mu.Unlock()
	if len(left) > 0 {
		a.config.Logger.WarnContext(ctx,
			"sessions and tokens were sealed with keys that are not among Config.Keys",
			"keys", formatKeyIDs(left), "sessions", counts.sessions, "grants", counts.grants)
	}
	if len(left) == len(missing) {
		return
	}
	before, err := a.property(ctx, keysProperty)
	if err == nil {
		after := slices.DeleteFunc(splitKeyIDs(before), func(id keyID) bool {
			return slices.Contains(missing, id) && !slices.Contains(left, id)
		})
		err = a.setProperty(ctx, keysProperty, before, joinKeyIDs(after))
	}
	if err != nil {
		// The next start counts again.
		a.config.Logger.WarnContext(ctx,
			"keys that are no longer in use could not be removed from the store's list", "error", err)
	}
}

var errNotMovable = errors.New("the backend does not serve " + transfer.Service)

// countSealed scans the records. left are the missing keys that some records need.
func (a *Adapter) countSealed(
	ctx context.Context, missing []keyID,
) (counts *sealedCounts, left []keyID, err error) {
	store := moverOf(a.backends.serving())
	if store == nil {
		return nil, missing, errNotMovable
	}
	counts = &sealedCounts{}
	for batch, err := range store.Export(ctx, nil) {
		if err != nil {
			return nil, missing, err
		}
		for i := range batch.Records {
			r := &batch.Records[i]
			id, sealed := sealedBy(r)
			switch {
			case r.Kind > transfer.Grants:
				return counts, left, nil // records are sorted by kind
			case !sealed || !slices.Contains(missing, id):
				continue
			case r.Kind == transfer.Sessions:
				counts.sessions++
			default:
				counts.grants++
			}
			if !slices.Contains(left, id) {
				left = append(left, id)
			}
		}
	}
	return counts, left, nil
}

// sealedWith returns the keys with which the first records of a store are sealed, for a store without a list
// of keys.
func (a *Adapter) sealedWith(ctx context.Context) (ids []keyID, err error) {
	store := moverOf(a.backends.serving())
	if store == nil {
		return nil, nil // unknown
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for batch, err := range store.Export(ctx, nil) {
		if err != nil {
			return nil, fmt.Errorf("looking for sealed records: %w", err)
		}
		for i := range batch.Records {
			if id, sealed := sealedBy(&batch.Records[i]); sealed && !slices.Contains(ids, id) &&
				len(ids) < maxKeyIDs {
				ids = append(ids, id)
			}
		}
		if len(ids) > 0 || batch.Records[len(batch.Records)-1].Kind > transfer.Grants {
			break
		}
	}
	return ids, nil
}

// Field numbers of the records in plugin/proto/sessions/records/v1/records.proto, which never change. The
// generated code may not be imported here; a test compares the numbers with it.
const (
	sessionTicketField protowire.Number = 17
	grantDataField     protowire.Number = 12
)

// sealedBy returns the id of the key that has sealed the data of a record, if it has sealed data.
func sealedBy(r *transfer.Record) (id keyID, sealed bool) {
	field := grantDataField
	switch r.Kind {
	case transfer.Sessions:
		field = sessionTicketField
	case transfer.Grants:
	default:
		return id, false
	}
	for data := r.Data; len(data) > 0; {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return id, false
		}
		data = data[n:]
		if number == field && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(data)
			return sealedKeyID(value)
		}
		if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
			return id, false
		}
		data = data[n:]
	}
	return id, false
}
