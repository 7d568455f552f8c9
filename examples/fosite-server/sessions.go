package main

// Session management in this server: the storage plugin, the adapter and their routes.

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/account"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
)

// This file has all the code that session management needs in this server.

// openBackend starts the storage plugin for a folder, or for a schema of the database.
func openBackend(
	ctx context.Context, o *options, t *telemetry, place string, logger *slog.Logger,
) (*plugin.Client, error) {
	backend := backendBadger
	config := plugin.Config{
		Settings: badger.Settings{Path: place}, Logger: logger,
		TracerProvider: t.plugins(), MeterProvider: t.meter,
	}
	if schema, found := strings.CutPrefix(place, inDatabase); found {
		backend, config.Settings = backendPostgres, o.postgres(schema)
	}
	if o.plugin != "" && backend == o.backend {
		config.Path = o.plugin
		return plugin.Open(ctx, config)
	}
	// Run this program again, as the plugin.
	var err error
	if config.Path, err = os.Executable(); err != nil {
		return nil, err
	}
	config.Args = []string{backend}
	return plugin.Open(ctx, config)
}

// attachSessions inserts session management between the provider and fosite.
func (s *running) attachSessions(ctx context.Context) error {
	p := s.provider
	var err error
	p.sessions, err = fositestore.Attach(ctx, fositestore.Config{
		Backend: s.backend,
		Fosite:  p.config,
		Store:   clientStore(p.clients),
		Key:     p.secrets.signingKey,
		Host: hostadapter.Config{
			UserActive:    p.users.active,
			FormerIssuers: s.options.formerIssuers, KeysLost: s.options.keysLost,
			Cookie: hostadapter.CookieConfig{Name: newCookie(p.issuer, "fosite_server", "/").name},
			Lifetime: hostadapter.LifetimeConfig{
				IdleTimeout: s.options.idle, AbsoluteTimeout: s.options.absolute,
				MaxSessions: s.options.maxSessions, RefuseSignIn: s.options.refuseSignIn,
			},
			Logout:     hostadapter.LogoutConfig{Page: p.logoutPage, AllowCIDRs: s.options.allowCIDRs},
			Swap:       hostadapter.SwapConfig{Backends: s.stores(p.logger), BackendName: mainStore},
			Pins:       s.options.pins(),
			RemoteAddr: s.options.remoteAddr,
			Telemetry:  s.telemetry.host(),
			Logger:     p.logger,
		},
	})
	if err != nil {
		return err
	}
	p.oauth2 = p.sessions.Provider(composeProvider(p.config, p.sessions.Store(), p.secrets.signingKey))
	return nil
}

// mountSessions adds the routes of session management.
func (p *provider) mountSessions(router *mux.Router) {
	router.Use(p.sessions.Middleware)
	router.Handle(pathEndSession, p.sessions.EndSession())
	p.operatorRoutes(router) // the admin page's sign-in is below the same path
	admin.MountConfig(router.PathPrefix(pathAdmin).Subrouter(), admin.Config{
		Operations: p.sessions.Operations(), Authorize: p.operators.authorize, Audit: p.audit,
	})
	pages := account.Handler(account.Config{
		Sessions: p.sessions.Adapter, ClientName: p.clientName,
		SignIn: http.RedirectHandler("/login", http.StatusSeeOther),
		Page:   p.accountPage, Audit: p.audit,
	})
	router.PathPrefix(pathAccount).Handler(pages)
	router.Handle(strings.TrimSuffix(pathAccount, "/"), pages) // redirects to the path with the slash
}
