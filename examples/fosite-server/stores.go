package main

// Stores that the server may be swapped to.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fosite-sessions/sessions"
)

// mainStore is the name of the store that a server starts with.
const mainStore = "main"

// mainFolder is that store's.
func (o *options) mainFolder() string { return filepath.Join(o.data, "sessions") }

// store reads a -store flag.
func (o *options) store(text string) error {
	name, folder, _ := strings.Cut(text, "=")
	switch _, twice := o.stores[name]; {
	case name == "" || folder == "":
		return errors.New("not a name and a folder, such as next=/var/lib/sessions-next")
	case name == mainStore:
		return fmt.Errorf("%s is what the store in the data folder is called", mainStore)
	case twice:
		return fmt.Errorf("%s is named twice", name)
	}
	if o.stores == nil {
		o.stores = map[string]string{}
	}
	o.stores[name] = folder
	return nil
}

// checkStores refuses two stores in one folder: a store belongs to one plugin at a time.
func (o *options) checkStores() error {
	folders := map[string]string{o.mainFolder(): "the sessions of -data"}
	for _, name := range slices.Sorted(maps.Keys(o.stores)) {
		folder := filepath.Clean(o.stores[name])
		if other, taken := folders[folder]; taken {
			return fmt.Errorf("-store %s: %s is the folder of %s", name, folder, other)
		}
		folders[folder] = "-store " + name
	}
	return nil
}

// stores are what the sessions can be swapped to while the server serves. The main store is among them for a
// newer plugin to take it over.
func (s *running) stores(logger *slog.Logger) map[string]func(context.Context) (sessions.Backend, error) {
	stores := map[string]func(context.Context) (sessions.Backend, error){}
	folders := map[string]string{mainStore: s.options.mainFolder()}
	maps.Copy(folders, s.options.stores)
	for name, folder := range folders {
		stores[name] = func(ctx context.Context) (sessions.Backend, error) {
			client, err := openBackend(ctx, s.options, folder, logger)
			if err != nil {
				return nil, err
			}
			s.plugins.Store(name, client)
			return client, nil
		}
	}
	return stores
}
