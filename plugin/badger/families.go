package badger

// Families (f): the unused codes and tokens of a request id; and their listings (ga gs gu gc).

import (
	"errors"
	"slices"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// families changes families in a transaction. It holds the current family in memory, so that it is read and
// written once: call save at the end. save also writes the listings: a grant's entries depend on the other
// members of its family (layout.Companion), which are added and removed one by one.
type families struct {
	tx *kv.Tx
	id string // request id of the current family
	// was are its members as read, members the current ones.
	was, members []grantstore.Ref
	// changes are the members added, removed or replaced.
	changes []familyChange
	changed bool
}

// familyChange is a grant before and after, nil if it is not a member or was used.
type familyChange struct {
	ref       grantstore.Ref
	old, next *records.Grant
}

// of returns the members of a family. The slice belongs to families.
func (f *families) of(requestID string) ([]grantstore.Ref, error) {
	if requestID == f.id {
		return f.members, nil
	}
	if err := f.save(); err != nil {
		return nil, err
	}
	members, err := grantrows.Family(f.tx, requestID)
	if err != nil {
		return nil, err
	}
	f.id, f.was, f.members = requestID, slices.Clone(members), members
	return members, nil
}

// save writes the changes.
func (f *families) save() error {
	if !f.changed {
		return nil
	}
	if err := f.list(); err != nil {
		return err
	}
	f.changed, f.changes = false, f.changes[:0]
	f.was = append(f.was[:0], f.members...)
	if len(f.members) == 0 {
		f.tx.Delete(layout.FamilyKey(f.id))
		return nil
	}
	family := &recordpb.Family{Members: make([][]byte, len(f.members))}
	for i, ref := range f.members {
		family.Members[i] = records.RefBytes(ref)
	}
	return f.tx.Save(layout.FamilyKey(f.id), family)
}

// add adds a grant to its family.
func (f *families) add(ref grantstore.Ref, g *records.Grant) error {
	members, err := f.of(g.GetRequestId())
	if err != nil {
		return err
	}
	f.members = append(members, ref)
	f.note(ref, nil, g)
	return nil
}

// remove removes a grant from its family.
func (f *families) remove(ref grantstore.Ref, g *records.Grant) error {
	found, err := f.forget(ref, g.GetRequestId())
	if err != nil || !found {
		replaceEntries(f.tx, layout.GrantListings(ref, g), nil) // all entries that it may have
		return errors.Join(err, f.orphan(ref, g))
	}
	f.note(ref, g, nil)
	return nil
}

// orphan lists the companion named by a grant that leaves while the companion stays.
func (f *families) orphan(ref grantstore.Ref, g *records.Grant) error {
	candidates, _ := grantrows.Candidates(ref, g, func() ([]grantstore.Ref, error) { return nil, nil })
	for _, ref := range candidates {
		left, err := f.stored(ref)
		if err != nil {
			return err
		}
		if left != nil && layout.Companion(ref, left, g) {
			replaceEntries(f.tx, nil, layout.GrantListings(ref, left))
		}
	}
	return nil
}

// forget removes a grant whose row is gone from its family, and reports whether it was a member.
func (f *families) forget(ref grantstore.Ref, requestID string) (found bool, err error) {
	members, err := f.of(requestID)
	if err != nil {
		return false, f.tx.StepOver(err) // a family that cannot be read has no members
	}
	at := slices.Index(members, ref)
	if at < 0 {
		return false, nil
	}
	f.members, f.changed = slices.Delete(members, at, at+1), true
	return true, nil
}

// note records the change of a grant.
func (f *families) note(ref grantstore.Ref, old, next *records.Grant) {
	f.changed = true
	if c := f.change(ref); c != nil {
		c.next = next
		return
	}
	if f.changes == nil {
		f.changes = make([]familyChange, 0, usualChanges)
	}
	f.changes = append(f.changes, familyChange{ref, old, next})
}

// usualChanges is the number of changes of a refresh: two grants go, and two come.
const usualChanges = 4

// change returns the change of a grant, or nil.
func (f *families) change(ref grantstore.Ref) *familyChange {
	for i := range f.changes {
		if f.changes[i].ref == ref {
			return &f.changes[i]
		}
	}
	return nil
}

// drop removes the tokens of a family, of the given types or, without types, of all, after calling each for
// them.
func (f *families) drop(
	requestID string, types []grantstore.Type, each func(ref grantstore.Ref, g *records.Grant),
) error {
	members, err := f.of(requestID)
	if err != nil {
		return err
	}
	kept := make([]grantstore.Ref, 0, len(members))
	for _, ref := range members {
		if len(types) > 0 && !slices.Contains(types, ref.Type) {
			kept = append(kept, ref)
			continue
		}
		g, err := grantrows.Load(f.tx, ref)
		if err := f.tx.Abandon(err); err != nil { // a damaged grant serves no request
			return err
		}
		if g == nil {
			continue
		}
		each(ref, g)
		dropGrantRow(f.tx, ref, g)
		f.note(ref, g, nil)
	}
	if len(kept) != len(members) {
		f.members, f.changed = kept, true
	}
	return nil
}

// list writes the listings of changed grants, and of grants whose principal was added or removed.
func (f *families) list() error {
	for i := range f.changes {
		c := &f.changes[i]
		was, err := f.listings(c.ref, c.old, f.was, f.before)
		if err != nil {
			return err
		}
		is, err := f.listings(c.ref, c.next, f.members, f.after)
		if err != nil {
			return err
		}
		replaceEntries(f.tx, was, is)
	}
	for _, ref := range f.companions() {
		g, err := f.stored(ref)
		if err != nil {
			return err
		}
		was, err := f.listings(ref, g, f.was, f.before)
		if err != nil {
			return err
		}
		is, err := f.listings(ref, g, f.members, f.after)
		if err != nil {
			return err
		}
		replaceEntries(f.tx, was, is)
	}
	return nil
}

// listings returns the listing entries of a grant of the family (nil: none).
func (f *families) listings(
	ref grantstore.Ref, g *records.Grant, members []grantstore.Ref,
	row func(ref grantstore.Ref) (*records.Grant, error),
) ([]layout.Entry, error) {
	if g == nil {
		return nil, nil
	}
	companion, err := grantrows.HasPrincipal(members, ref, g, row)
	if err != nil || companion {
		return nil, err
	}
	return layout.GrantListings(ref, g), nil
}

// before and after return a member's row before and after the changes.
func (f *families) before(ref grantstore.Ref) (*records.Grant, error) {
	if c := f.change(ref); c != nil {
		return c.old, nil
	}
	return f.stored(ref)
}

func (f *families) after(ref grantstore.Ref) (*records.Grant, error) {
	if c := f.change(ref); c != nil {
		return c.next, nil
	}
	return f.stored(ref)
}

// stored returns the row of an unchanged member, or nil if it cannot be read: it is no grant's principal.
func (f *families) stored(ref grantstore.Ref) (*records.Grant, error) {
	g, err := grantrows.Load(f.tx, ref)
	return g, f.tx.StepOver(err)
}

// companions returns the unchanged members whose possible principal changes.
func (f *families) companions() (found []grantstore.Ref) {
	for i := range f.changes {
		c := &f.changes[i]
		for _, g := range []*records.Grant{c.old, c.next} {
			if g == nil {
				continue
			}
			candidates, _ := grantrows.Candidates(c.ref, g,
				func() ([]grantstore.Ref, error) { return f.members, nil })
			for _, ref := range candidates {
				if f.change(ref) == nil && slices.Contains(f.members, ref) && !slices.Contains(found, ref) {
					found = append(found, ref)
				}
			}
		}
	}
	return found
}
