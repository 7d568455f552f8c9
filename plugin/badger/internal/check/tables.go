package check

// The rules of grants, families, operations, jobs, notifications, properties, counts and indexes.

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var canonical = proto.MarshalOptions{Deterministic: true}

func (c *checker) grants() error {
	return c.scan(layout.TableGrant, true, func(k, v []byte) error {
		ref, ok := records.RefOf(k[len(layout.TableGrant):])
		g := &records.Grant{}
		if !c.record(k, v, g) || !ok {
			return nil
		}
		companion, err := c.companion(k, ref, g)
		if err != nil {
			return err
		}
		entries := layout.GrantIndexes(ref, g)
		if !companion {
			entries = append(entries, layout.GrantListings(ref, g)...)
		}
		c.wants(entries)
		if grantrows.OfFamily(ref, g) {
			c.balance.wants(memberKey(g.RequestId, records.RefBytes(ref)), nil)
		}
		return c.number(k, ref, g)
	})
}

// companion reports whether a grant is listed by the entries of its principal. This does not apply to format
// 3 and earlier, nor to grants that the migration has not reached yet.
func (c *checker) companion(k []byte, ref grantstore.Ref, g *records.Grant) (bool, error) {
	switch place, err := c.r.Get(layout.UnlistKey); {
	case err != nil:
		return false, err
	case place == nil && c.format <= 3,
		place != nil && bytes.Compare(k[len(layout.TableGrant):], place) >= 0:
		return false, nil
	}
	return grantrows.IsCompanion(c.r, ref, g)
}

// number finds tokens with a higher token number than their client's. Most have number 0, which needs no
// check.
func (c *checker) number(k []byte, ref grantstore.Ref, g *records.Grant) error {
	if g.TokenNumber == 0 || g.SessionId == "" || !ref.Type.IsToken() || c.again {
		return nil
	}
	use, err := kv.Find[records.ClientUse](c.r, layout.ClientUseKey(g.SessionId, g.ClientId))
	if layout.IsDamage(err) {
		return nil // the row itself is a finding
	}
	if use != nil {
		const says = "has token number %d, and its client is at %d: a revocation would miss it"
		c.togetherf(k, g.TokenNumber > use.TokenNumber, says, g.TokenNumber, use.TokenNumber)
	}
	return err
}

// memberKey represents a grant in its family. It is not a key of the database.
func memberKey(requestID string, member []byte) []byte {
	return layout.Key(layout.TableFamily, layout.More(requestID), member)
}

func (c *checker) families() error {
	return c.scan(layout.TableFamily, true, func(k, v []byte) error {
		family := &recordpb.Family{}
		err := layout.Decode(k, v, family)
		c.rulef(k, err != nil, "cannot be read: it is damaged")
		c.rulef(k, err == nil && len(family.Members) == 0, "has no members")
		if !c.again {
			c.report.Entries++
		}
		for _, member := range family.Members {
			c.balance.has(memberKey(string(k[len(layout.TableFamily):]), member), nil)
		}
		return nil
	})
}

// wants adds expected index entries.
func (c *checker) wants(entries []layout.Entry) {
	for _, entry := range entries {
		c.balance.wants(entry.Key, entry.Value)
	}
}

func (c *checker) operations() error {
	return c.scan(layout.TableOperation, true, func(k, v []byte) error {
		o := &records.Operation{}
		if c.record(k, v, o) {
			c.at(o.When)
			c.wants(layout.OperationEntries(string(k[len(layout.TableOperation):]), o))
		}
		return nil
	})
}

// operationAge adds each operation of an entry as if it had its own entry.
func (c *checker) operationAge(k, v []byte) {
	when, ids, err := layout.OperationsOfAge(k, v)
	if err != nil {
		c.entry(k, v)
		return
	}
	if !c.again {
		c.report.Entries++
	}
	for _, id := range ids {
		c.balance.has(layout.OperationAgeKey(when, string(id)), nil)
	}
}

func (c *checker) jobs() error {
	return c.scan(layout.TableJob, true, func(k, v []byte) error {
		job := &records.Job{}
		if c.record(k, v, job) {
			c.wants(layout.JobEntries(string(k[len(layout.TableJob):]), job))
		}
		return nil
	})
}

func (c *checker) purges() error {
	return c.scan(layout.TablePurge, true, func(k, v []byte) error {
		c.record(k, v, nil)
		return nil
	})
}

func (c *checker) notifications() error {
	return c.scan(layout.TableNotification, true, func(k, v []byte) error {
		n := &records.Notification{}
		if c.record(k, v, n) {
			c.at(n.Queued)
			c.at(n.LastAttempt)
			c.wants(layout.NotificationEntries(string(k[len(layout.TableNotification):]), n))
		}
		return nil
	})
}

// grantDue also accepts an entry of format 2, which repeats the grant in its value.
func (c *checker) grantDue(k, v []byte) {
	if bytes.HasSuffix(k, v) && len(v) == records.RefLength {
		v = nil
	}
	c.entry(k, v)
}

// counts compares the counts with the sessions, which are counted by now. Clients that remain have no count.
func (c *checker) counts() error {
	return c.scan(layout.TableCount, true, func(k, v []byte) error {
		if c.again {
			return nil
		}
		c.report.Entries++
		client := string(k[len(layout.TableCount):])
		n, used := binary.Varint(v)
		c.rulef(k, used <= 0, "is damaged")
		c.rulef(k, used > 0 && n != int64(c.live[client]), "is %d, and there are %d sessions",
			n, c.live[client])
		delete(c.live, client)
		return nil
	})
}

// indexes adds the actual entries, except those that bySession has visited.
func (c *checker) indexes() error {
	for i := range layout.Tables {
		t := &layout.Tables[i]
		var take func(k, v []byte)
		switch {
		case t.Kind != 0 || isOneOf(t.Prefix, layout.TableFamily, layout.TableCount, layout.TableJournal,
			layout.TableLedger, layout.IndexGrantSession):
			continue
		case bytes.Equal(t.Prefix, layout.TableDamaged):
			take = c.setAside
		case bytes.Equal(t.Prefix, layout.IndexListing):
			take = c.listing
		case bytes.Equal(t.Prefix, layout.IndexGrantDue):
			take = c.grantDue
		case bytes.Equal(t.Prefix, layout.IndexEndedDue):
			take = c.look
		case bytes.Equal(t.Prefix, layout.IndexOperationAge):
			take = c.operationAge
		default:
			take = c.entry
		}
		if err := c.scan(t.Prefix, true, func(k, v []byte) error { take(k, v); return nil }); err != nil {
			return err
		}
	}
	return nil
}

func isOneOf(prefix []byte, prefixes ...[]byte) bool {
	return slices.ContainsFunc(prefixes, func(p []byte) bool { return bytes.Equal(p, prefix) })
}

func (c *checker) setAside(_, _ []byte) {
	if !c.again {
		c.report.SetAside++
	}
}

func (c *checker) listing(k, v []byte) {
	s := &records.Session{}
	err := layout.Decode(k, v, s)
	c.rulef(k, err != nil, "cannot be read: it is damaged")
	if err == nil {
		v = listed(s)
	}
	c.entry(k, v)
}

// look adds the due entry of an ended record, ignoring its time.
func (c *checker) look(k, v []byte) {
	at, sid, err := layout.SplitTimed(k, len(layout.IndexEndedDue))
	if err != nil {
		c.entry(k, v)
		return
	}
	c.entry(layout.Key(layout.IndexEndedDue, layout.TimeKey(0), sid), v)
	// By now all records were read, and the time of the latest write is known.
	c.rulef(k, c.config.Ages && records.Nanos(at) < c.latest-overdue,
		"was to be looked at, and perhaps to go, more than a week before the latest write: "+
			"no host sweeps this store")
}

// overdue is how long the purge of an ended record may be late, in nanoseconds.
const overdue = int64(7 * 24 * time.Hour)

func (c *checker) properties() error {
	n := 0
	return c.scan(layout.TableProperty, true, func(k, v []byte) error {
		property := &records.Property{}
		if !c.record(k, v, property) {
			return nil
		}
		n++
		c.rulef(k, n == ticketstore.MaxProperties+1, "is one more than the %d that there may be",
			ticketstore.MaxProperties)
		return nil
	})
}
