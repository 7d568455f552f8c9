package main

// The stores that the server can swap to.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/postgres"
)

// mainStore is the name of the store that a server starts with.
const mainStore = "main"

// The built-in backends.
const (
	backendBadger   = "badger"
	backendPostgres = "postgres"
)

// inDatabase is the prefix of a place in the database, before the schema. Other places are folders.
const inDatabase = backendPostgres + ":"

// mainPlace returns the place of the main store.
func (o *options) mainPlace() string {
	if o.backend == backendPostgres {
		return inDatabase + o.schema
	}
	return filepath.Join(o.data, "sessions")
}

// store parses a -store flag.
func (o *options) store(text string) error {
	name, place, _ := strings.Cut(text, "=")
	switch _, twice := o.stores[name]; {
	case name == "" || place == "":
		return errors.New("not a name and a folder, such as next=/var/lib/sessions-next, or a name and a " +
			"schema, such as next=postgres:sessions")
	case name == mainStore:
		return fmt.Errorf("%s is what the store in the data folder is called", mainStore)
	case twice:
		return fmt.Errorf("%s is named twice", name)
	}
	if o.stores == nil {
		o.stores = map[string]string{}
	}
	o.stores[name] = place
	return nil
}

// checkStores refuses two stores in the same place: a store cannot be swapped to itself.
func (o *options) checkStores() error {
	places := map[string]string{o.mainPlace(): "the sessions of -data"}
	for _, name := range slices.Sorted(maps.Keys(o.stores)) {
		place := o.stores[name]
		if !strings.HasPrefix(place, inDatabase) {
			place = filepath.Clean(place)
		}
		if other, taken := places[place]; taken {
			return fmt.Errorf("-store %s: %s is the place of %s", name, place, other)
		}
		places[place] = "-store " + name
	}
	return nil
}

// checkDSN checks that the database is named if one is used, and that its password is not in the process
// list.
func (o *options) checkDSN() error {
	used := o.backend == backendPostgres
	for _, place := range o.stores {
		used = used || strings.HasPrefix(place, inDatabase)
	}
	named := o.dsn != "" || o.dsnFile != ""
	password := strings.Contains(strings.ToLower(o.dsn), "password")
	if u, err := url.Parse(o.dsn); err == nil && u.User != nil {
		_, found := u.User.Password()
		password = password || found
	}
	switch {
	case named && !used:
		return errors.New("-dsn and -dsn-file are for -backend postgres, or a -store of it")
	case o.dsn != "" && o.dsnFile != "":
		return errors.New("-dsn and -dsn-file are both given: leave one of them out")
	case password:
		return errors.New("-dsn has a password, which lists of processes show: use -dsn-file or " +
			postgres.DSNEnv)
	case used && !named && os.Getenv(postgres.DSNEnv) == "":
		return errors.New("the database is not named: use -dsn-file, or the environment variable " +
			postgres.DSNEnv)
	}
	return nil
}

// postgres returns the settings of a store in the database. The plugin does not get this program's
// environment.
func (o *options) postgres(schema string) postgres.Settings {
	settings := postgres.Settings{
		DSN: o.dsn, DSNFile: o.dsnFile, Schema: schema, UnverifiedTLS: o.unverifiedTLS,
	}
	if settings.DSN == "" && settings.DSNFile == "" {
		settings.DSN = os.Getenv(postgres.DSNEnv)
	}
	return settings
}

// stores returns the backends that the server can swap to. It includes the main store, so that a newer plugin
// can take it over.
func (s *running) stores(logger *slog.Logger) map[string]func(context.Context) (sessions.Backend, error) {
	stores := map[string]func(context.Context) (sessions.Backend, error){}
	places := map[string]string{mainStore: s.options.mainPlace()}
	maps.Copy(places, s.options.stores)
	for name, place := range places {
		stores[name] = func(ctx context.Context) (sessions.Backend, error) {
			client, err := openBackend(ctx, s.options, s.telemetry, place, logger)
			if err != nil {
				return nil, err
			}
			s.plugins.Store(name, client)
			return client, nil
		}
	}
	return stores
}
