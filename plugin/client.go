package plugin

// Client: the host's side, a backend in a plugin process.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/internal/grantcache"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Client is a backend in a plugin process. It is safe for concurrent use.
type Client struct {
	link    *link
	caller  *rpc.Caller
	tickets *rpc.Tickets
	grants  *grantcache.Store
	logout  *rpc.Logout
	props   *rpc.Properties
	// transfer is set if the backend is movable.
	transfer *rpc.Transfer
	movable  bool
	measured bool // the backend serves figures
	cached   bool // live access tokens are cached

	closeOnce sync.Once
	closeErr  error
}

var (
	_ sessions.Backend  = (*Client)(nil)
	_ sessions.Measured = (*Client)(nil)
)

// scope is the name of our tracer and meter.
const scope = "github.com/fosite-sessions/sessions/plugin"

// Open starts a plugin, opens its backend with the settings and returns a Client once the backend is ready.
// The context bounds only the start; Close ends the plugin. Errors name the binary and the problem: they wrap
// a *ticketstore.FieldError for an invalid setting and a *ticketstore.OtherStoreError if the store is not one
// of those wanted. A failed Open leaves no process, socket or folder behind.
func Open(ctx context.Context, config Config) (*Client, error) {
	settings, err := config.prepare()
	if err != nil {
		return nil, fmt.Errorf("plugin config: %w", err)
	}
	caller := &rpc.Caller{Timeout: config.CallTimeout, Long: config.LongCallTimeout}
	if config.TracerProvider != nil {
		caller.Tracer = config.TracerProvider.Tracer(scope)
	}
	if config.MeterProvider != nil {
		if caller.Durations, err = rpc.NewDurations(config.MeterProvider.Meter(scope)); err != nil {
			return nil, fmt.Errorf("plugin config: MeterProvider: %w", err)
		}
	}
	wanted := ticketstore.StoreIDs(ctx)
	if config.StoreID != "" {
		wanted = []string{config.StoreID}
	}
	first, err := launch(ctx, &config, settings, wanted)
	if err != nil {
		return nil, err
	}
	c := &Client{link: newLink(&config, settings, first), caller: caller}
	c.caller.Conn = c.link
	c.tickets = &rpc.Tickets{Caller: c.caller}
	c.grants = &grantcache.Store{Store: &rpc.Grants{Caller: c.caller}, Cache: c.link.cache}
	c.logout, c.props = &rpc.Logout{Caller: c.caller}, &rpc.Properties{Caller: c.caller}
	c.transfer = &rpc.Transfer{Caller: c.caller}
	c.movable = slices.Contains(first.description.Services, transfer.Service)
	c.measured = slices.Contains(first.description.Services, sessions.FiguresService)
	c.cached = first.cache != nil
	return c, nil
}

// Tickets returns the plugin's sessions.
func (c *Client) Tickets() ticketstore.Store { return c.tickets }

// Grants returns the plugin's grants.
func (c *Client) Grants() grantstore.Store { return c.grants }

// Logout returns the plugin's store of endings and notifications.
func (c *Client) Logout() logout.Store { return c.logout }

// Properties returns the properties that the host keeps in the store.
func (c *Client) Properties() ticketstore.Properties { return c.props }

// Kills returns the kills of the current process, or nil if Config.Cache is negative or the backend does not
// serve kills. It is valid for the lifetime of that process.
func (c *Client) Kills() grantstore.Kills {
	if in := c.link.state.Load().instance; in != nil && in.kills != nil {
		return in.kills
	}
	return nil
}

// CacheFigures returns the counters of the access token cache, summed over all processes, and its current
// size. It returns nil if nothing is cached.
func (c *Client) CacheFigures() *grantstore.CacheFigures {
	if !c.cached {
		return nil
	}
	figures := c.link.config.meter.Figures()
	return &figures
}

// Figures implements sessions.Measured. The engine's figures are those of the current process; a backend that
// does not serve figures has none. Restarts and Waits are valid even if an error is returned.
func (c *Client) Figures(ctx context.Context) (figures sessions.Figures, err error) {
	if err = c.link.failure(); err == nil && c.measured {
		figures, err = c.caller.Figures(ctx)
	}
	if err != nil || !c.measured {
		figures = sessions.Figures{DiskUsed: -1, DiskFree: -1}
	}
	figures.Restarts, figures.Waits = c.link.restarts.Load(), c.link.waits.Load()
	return figures, err
}

// Transfer returns the store that moves the plugin's data, or nil if the backend does not serve transfers.
func (c *Client) Transfer() transfer.Store {
	if !c.movable {
		return nil
	}
	return c.transfer
}

// Describe returns the backend's description. Unlike other calls it does not wait while the plugin cannot be
// restarted, its backend has failed or the shared database is down: it returns ticketstore.ErrUnavailable
// with the reason, for an operator. For a few seconds after a restart, Trouble holds the reason why the
// previous plugin failed.
func (c *Client) Describe(ctx context.Context) (ticketstore.Description, error) {
	if err := c.link.failure(); err != nil {
		return ticketstore.Description{}, fmt.Errorf("describe: %w", err)
	}
	description, err := c.caller.Describe(ctx)
	if err == nil && description.Trouble == "" {
		description.Trouble = c.link.trouble()
	}
	return description, err
}

// PID returns the plugin's process id, or 0 if there is no process: after Close, and while a dead process is
// being replaced.
func (c *Client) PID() int {
	if in := c.link.state.Load().instance; in != nil && !in.dead() {
		return in.pid()
	}
	return 0
}

// Close makes further calls fail with ticketstore.ErrUnavailable, lets running calls finish within
// Config.CallTimeout, and ends the plugin, which closes its database. A plugin that does not exit within
// Config.CloseTimeout is killed, and Close returns an error.
func (c *Client) Close() error {
	c.closeOnce.Do(func() { c.closeErr = c.link.close() })
	return c.closeErr
}

// errKilled means that the plugin was killed or failed instead of exiting with status 0.
var errKilled = errors.New("session plugin did not exit cleanly")
