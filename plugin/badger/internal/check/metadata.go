package check

// The rules of the metadata: state in a move, contents, journal.

import (
	"bytes"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// own checks the metadata.
func (c *checker) own() error {
	ledger, err := kv.LoadLedger(c.r)
	if err != nil {
		c.badf(layout.LedgerKey, "cannot be read: it is damaged")
		ledger = &recordpb.Ledger{State: string(transfer.Active)}
	}
	contents, found, err := kv.LoadContents(c.r)
	if err != nil {
		c.badf(layout.ContentsKey, "cannot be read: they are damaged")
	} else if found {
		c.kept = contents
	} else if c.format > 1 {
		c.badf(layout.ContentsKey, "are missing")
	}
	if n, err := kv.Recounts(c.r); err != nil || n > 0 {
		c.kept = nil
		c.badf(layout.ContentsKey, "are in doubt: the next start counts them again")
	}
	c.report.State, c.report.Peer = transfer.State(ledger.GetState()), ledger.GetPeer()
	switch c.report.State {
	case transfer.Active, transfer.Exporting, transfer.Fenced, transfer.Superseded, transfer.Importing,
		transfer.Abandoned:
	default:
		c.badf(layout.LedgerKey, "the store is in a state that does not exist")
	}
	err = c.scan(layout.TableLedger, false, func(k, _ []byte) error {
		own := isOneOf(k, layout.LedgerKey, layout.ContentsKey, layout.RecountKey, layout.StoreIDKey,
			layout.MakeSmallKey, layout.UnlistKey)
		if t := layout.TableOf(k); bytes.Equal(t.Prefix, layout.TableLedger) && !own {
			c.badf(k, "is a key of no table")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.journal(ledger)
}

// journal checks that the journal has all changes since an export began. Acknowledged entries may still be
// present.
func (c *checker) journal(ledger *recordpb.Ledger) error {
	next := ledger.GetAcknowledged() + 1
	err := c.scan(layout.TableJournal, true, func(k, v []byte) error {
		c.report.Entries++
		number, ok := layout.JournalNumber(k)
		switch {
		case !ok:
			c.badf(k, "is no entry of the journal")
		case layout.KindOf(v) == 0:
			c.badf(k, "names a row that does not move")
		case number < next:
		case number > next && kv.Journals(ledger):
			c.badf(k, "comes after entry %d: some are missing", next-1)
			next = number + 1
		default:
			next = number + 1
		}
		return nil
	})
	if kv.Journals(ledger) && next != ledger.GetJournaled()+1 {
		c.badf(layout.LedgerKey, "the journal ends at %d, not at %d", next-1, ledger.GetJournaled())
	}
	return err
}
