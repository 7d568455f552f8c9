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
	// transfer is used where the backend is movable.
	transfer *rpc.Transfer
	movable  bool
	measured bool // the backend serves its figures
	cached   bool // there are copies of its live access tokens

	closeOnce sync.Once
	closeErr  error
}

var (
	_ sessions.Backend  = (*Client)(nil)
	_ sessions.Measured = (*Client)(nil)
)

// scope names what makes the spans and measurements.
const scope = "github.com/fosite-sessions/sessions/plugin"

// Open starts a plugin, opens its backend with the settings, and returns it when it is ready. The context
// bounds the start only; Close ends the plugin. An error names the binary and its problem. A
// *ticketstore.FieldError in it names a setting, a *ticketstore.OtherStoreError says that the store is not
// the wanted one. After an error no process, socket or folder is left.
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

// Logout returns the plugin's endings and notifications.
func (c *Client) Logout() logout.Store { return c.logout }

// Properties returns what the host keeps in the plugin about the store.
func (c *Client) Properties() ticketstore.Properties { return c.props }

// Kills returns what the process that serves now tells of its commits, nil where Config.Cache is negative or
// the backend does not serve it. It is good as long as that process lives.
func (c *Client) Kills() grantstore.Kills {
	if in := c.link.state.Load().instance; in != nil && in.kills != nil {
		return in.kills
	}
	return nil
}

// CacheFigures are what the cache of live access tokens has done, over all processes, and what it holds. They
// are nil where nothing is cached.
func (c *Client) CacheFigures() *grantstore.CacheFigures {
	if !c.cached {
		return nil
	}
	figures := c.link.config.meter.Figures()
	return &figures
}

// Figures implements sessions.Measured. The figures of the engine are those of the process that serves now;
// a backend that does not serve them has none. Restarts and Waits are right with an error too.
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

// Transfer returns what moves the plugin's data, nil if the backend does not serve it.
func (c *Client) Transfer() transfer.Store {
	if !c.movable {
		return nil
	}
	return c.transfer
}

// Describe asks the backend what it is. Where the plugin does not start again, its backend has failed, or the
// database that hosts share does not answer, it does not wait as other calls do: its error,
// ticketstore.ErrUnavailable, says why, for an operator. For some seconds after a plugin has failed the
// Trouble of the next one says it.
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

// PID returns the plugin's process id, 0 while there is none: after Close, and while a process that died is
// being replaced.
func (c *Client) PID() int {
	if in := c.link.state.Load().instance; in != nil && !in.dead() {
		return in.pid()
	}
	return 0
}

// Close refuses further calls as ticketstore.ErrUnavailable, lets those that run finish within
// Config.CallTimeout, and ends the plugin, which closes its database. A plugin that does not end within
// Config.CloseTimeout is killed, and Close returns an error.
func (c *Client) Close() error {
	c.closeOnce.Do(func() { c.closeErr = c.link.close() })
	return c.closeErr
}

// errKilled: the plugin was killed, or failed, instead of exiting with status 0.
var errKilled = errors.New("session plugin did not exit cleanly")
