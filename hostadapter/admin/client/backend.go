package client

// The backend: status, swap, backup.

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Backend is what serves, and how it is.
type Backend struct {
	// Status is ready, degraded or unavailable; Error says why it is not ready.
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
	// ConfiguredAs is what the server's configuration calls what serves, empty where it has no names.
	ConfiguredAs string `json:"configured_as,omitempty"`
	// Name and the rest are what the backend said last.
	Name     string   `json:"name,omitempty"`
	Version  string   `json:"version,omitempty"`
	Format   int      `json:"format,omitempty"`
	Services []string `json:"services"`
	Shared   bool     `json:"shared"`
	// Hosts are the programs that have a shared store open.
	Hosts  []Host   `json:"hosts,omitempty"`
	Limits []string `json:"limits,omitempty"`
	// The counts are nil where they are not known.
	Sessions                  *int  `json:"sessions,omitempty"`
	PendingDeliveries         *int  `json:"pending_deliveries,omitempty"`
	PendingDeliveriesComplete *bool `json:"pending_deliveries_complete,omitempty"`
	// Cache is nil where no access tokens are cached.
	Cache *Cache `json:"cache,omitempty"`
}

// Host is a program that has a shared store open.
type Host struct {
	// Name is that of its machine, Version its build's.
	Name    string `json:"name"`
	Version string `json:"version"`
	// Beat is when it last said that it runs, by the store's clock.
	Beat time.Time `json:"beat"`
	// Joined is when it opened the store, by the same clock: what tells hosts of one machine apart. Zero:
	// unknown.
	Joined time.Time `json:"joined,omitzero"`
}

// Cache is what the cache of access tokens has done since the backend was opened, and what it holds.
type Cache struct {
	// Hits were answered from it, Misses were not.
	Hits   uint64 `json:"hits"`
	Misses uint64 `json:"misses"`
	// Unleased are those of the misses that it had a copy of, without a lease to use it: several hosts share
	// the store, and the database did not take this one's beats in time.
	Unleased uint64 `json:"unleased"`
	// Fills are tokens that it has taken, Refusals those that ended while they were read.
	Fills    uint64 `json:"fills"`
	Refusals uint64 `json:"refusals"`
	// Kills are changes that it was told of, Evictions tokens that went for want of room, Drops how often all
	// of it was dropped.
	Kills     uint64 `json:"kills"`
	Evictions uint64 `json:"evictions"`
	Drops     uint64 `json:"drops"`
	// Entries and Bytes, by an estimate, are what it holds.
	Entries int   `json:"entries"`
	Bytes   int64 `json:"bytes"`
}

// Backend returns what serves. One that is unavailable is no error.
func (c *Client) Backend(ctx context.Context) (*Backend, error) {
	return get[Backend](ctx, c, "/backend", nil)
}

// SwapBackend begins a swap to a backend of the server's configuration, and returns the id of the job. With
// sameData a newer program takes over the data of the one that serves; otherwise the backend must be empty.
func (c *Client) SwapBackend(ctx context.Context, name string, sameData bool) (job string, err error) {
	body := struct {
		Backend  string `json:"backend"`
		SameData bool   `json:"same_data,omitempty"`
	}{name, sameData}
	var answer struct {
		Job string `json:"job"`
	}
	err = c.do(ctx, call{method: http.MethodPost, path: "/backend/swap", body: body}, &answer)
	return answer.Job, err
}

// AbortSwap aborts a swap before its switch. One that is over is ErrConflict.
func (c *Client) AbortSwap(ctx context.Context, job string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/backend/swap/" + url.PathEscape(job)}, nil)
}

// Backup writes a backup and returns its size. On an error what was written is not whole.
func (c *Client) Backup(ctx context.Context, w io.Writer) (size int64, err error) {
	response, err := c.send(ctx, call{method: http.MethodPost, path: "/backend/backup"})
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	if size, err = io.Copy(w, response.Body); err != nil {
		return size, fmt.Errorf("client: the backup broke off after %d bytes: %w", size, err)
	}
	return size, nil
}
