package main

// Pins of stores, in a file of the data folder.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// pinFile is beside the keys.
const pinFile = "stores.json"

// pins stores in a file of the data folder which stores may serve, so that a start without the sessions'
// volume is refused instead of signing all users out.
type pins struct {
	path string
	// accept is the id of -accept-store, which is accepted too.
	accept string
}

var _ hostadapter.Pins = (*pins)(nil)

func (o *options) pins() *pins {
	return &pins{path: filepath.Join(o.data, pinFile), accept: o.acceptStore}
}

// Pinned implements hostadapter.Pins.
func (p *pins) Pinned(context.Context) (stores []hostadapter.PinnedStore, err error) {
	content, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(content, &stores); err != nil || len(stores) == 0 {
		return nil, fmt.Errorf("%s is damaged: remove it to pin the store that is there now", p.path)
	}
	known := func(s hostadapter.PinnedStore) bool { return !s.Left && s.StoreID == p.accept }
	if p.accept != "" && !slices.ContainsFunc(stores, known) {
		stores = append(stores, hostadapter.PinnedStore{Name: mainStore, StoreID: p.accept})
	}
	return stores, nil
}

// Pin implements hostadapter.Pins.
func (p *pins) Pin(_ context.Context, stores []hostadapter.PinnedStore) error {
	content, err := json.MarshalIndent(stores, "", "  ")
	if err != nil {
		return err
	}
	return smallfile.Write(p.path, append(content, '\n'), 0o600)
}

// wanted returns a context for opening the main store that requires one of the pinned stores.
func (p *pins) wanted(ctx context.Context) (context.Context, error) {
	stores, err := p.Pinned(ctx)
	var ids []string
	for _, store := range stores {
		ids = append(ids, store.StoreID)
	}
	return ticketstore.WithStoreIDs(ctx, ids...), err
}

// explain adds advice to the error for a store that is not pinned.
func (p *pins) explain(err error) error {
	var other *ticketstore.OtherStoreError
	switch {
	case !errors.As(err, &other):
		return err
	case other.Found == "":
		return fmt.Errorf("%w Put it back; or put a restored one there and start with -accept-store and "+
			"its id; "+
			"or remove %s to start with an empty store, without any sessions", err, p.path)
	}
	return fmt.Errorf("%w Put the right one back; or start with -accept-store %s to serve the one that is "+
		"there from now on", err, other.Found)
}
