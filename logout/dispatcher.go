package logout

import (
	"log/slog"
	"net/netip"
	"time"
)

type DispatcherConfig struct {
	Store                  Store
	Signer                 Signer
	Clients                ClientSource
	AllowCIDRs             []netip.Prefix
	Timeout                time.Duration
	Concurrency, PerClient int
	Poll                   time.Duration
	Now                    func() time.Time
	Logger                 *slog.Logger
}
type Dispatcher struct{}

func NewDispatcher(config DispatcherConfig) (*Dispatcher, error) { return &Dispatcher{}, nil }
func (d *Dispatcher) Wake()                                      {}
func (d *Dispatcher) Close() error                               { return nil }
