package badger

// Families (f): the unused codes and tokens of a request id.

import (
	"fmt"
	"slices"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// familyOf returns the live tokens of a request id.
func familyOf(r kv.Reader, requestID string) ([]grantstore.Ref, error) {
	if requestID == "" {
		return nil, nil
	}
	family := &recordpb.Family{}
	if _, err := kv.Load(r, layout.FamilyKey(requestID), family); err != nil {
		return nil, err
	}
	members := make([]grantstore.Ref, 0, len(family.GetMembers())+2)
	for _, m := range family.GetMembers() {
		ref, ok := records.RefOf(m)
		if !ok {
			return nil, layout.Damaged(layout.FamilyKey(requestID), fmt.Errorf("member of %d bytes", len(m)))
		}
		members = append(members, ref)
	}
	return members, nil
}

// families changes families in a transaction. The one that was asked for last is kept as it becomes, and read
// and written once: save it at the end.
type families struct {
	tx      *kv.Tx
	id      string // the request id of the one that is kept
	members []grantstore.Ref
	changed bool
}

// of returns the members of a family, which are its own.
func (f *families) of(requestID string) ([]grantstore.Ref, error) {
	if requestID == f.id {
		return f.members, nil
	}
	if err := f.save(); err != nil {
		return nil, err
	}
	members, err := familyOf(f.tx, requestID)
	if err != nil {
		return nil, err
	}
	f.id, f.members = requestID, members
	return members, nil
}

// save writes what was changed.
func (f *families) save() error {
	if !f.changed {
		return nil
	}
	f.changed = false
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

// join adds a grant to its family, if it is of one.
func (f *families) join(ref grantstore.Ref, requestID string) error {
	if requestID == "" || !ref.Type.IsToken() {
		return nil
	}
	members, err := f.of(requestID)
	if err != nil {
		return err
	}
	f.members, f.changed = append(members, ref), true
	return nil
}

// leave takes a grant out of its family, if it is in it.
func (f *families) leave(ref grantstore.Ref, requestID string) error {
	members, err := f.of(requestID)
	if err != nil {
		return f.tx.StepOver(err) // in a family that cannot be read no member is missed
	}
	if at := slices.Index(members, ref); at >= 0 {
		f.members, f.changed = slices.Delete(members, at, at+1), true
	}
	return nil
}

// drop removes the tokens of a family, of the given types or (none) of all, after it has called each.
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
		g, err := loadGrant(f.tx, ref)
		if err := f.tx.Abandon(err); err != nil { // a damaged one serves no request
			return err
		}
		if g == nil {
			continue
		}
		each(ref, g)
		dropGrantRow(f.tx, ref, g)
	}
	if len(kept) != len(members) {
		f.members, f.changed = kept, true
	}
	return nil
}
