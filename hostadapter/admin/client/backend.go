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

// Backend is the status of the current backend.
type Backend struct {
	// Status is ready, degraded or unavailable; Error is the reason if it is not ready.
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
	// ConfiguredAs is the name of the backend in the server's configuration, or "".
	ConfiguredAs string `json:"configured_as,omitempty"`
	// Name and the fields below are the backend's most recent report.
	Name     string   `json:"name,omitempty"`
	Version  string   `json:"version,omitempty"`
	Format   int      `json:"format,omitempty"`
	Services []string `json:"services"`
	Shared   bool     `json:"shared"`
	// Hosts are the programs that have the shared store open.
	Hosts  []Host   `json:"hosts,omitempty"`
	Limits []string `json:"limits,omitempty"`
	// The counts are nil if unknown.
	Sessions                  *int  `json:"sessions,omitempty"`
	PendingDeliveries         *int  `json:"pending_deliveries,omitempty"`
	PendingDeliveriesComplete *bool `json:"pending_deliveries_complete,omitempty"`
	// Cache is nil if access tokens are not cached.
	Cache *Cache `json:"cache,omitempty"`
}

// Host is a program that has the shared store open.
type Host struct {
	// Name is the name of its machine, Version its build.
	Name    string `json:"name"`
	Version string `json:"version"`
	// Beat is the time of its last heartbeat, by the store's clock.
	Beat time.Time `json:"beat"`
	// Joined is when it opened the store, by the same clock: it distinguishes hosts on one machine. Zero
	// means unknown.
	Joined time.Time `json:"joined,omitzero"`
}

// Cache holds the counters of the access token cache since the backend was opened, and its current size.
type Cache struct {
	// Hits were answered from the cache, Misses were not.
	Hits   uint64 `json:"hits"`
	Misses uint64 `json:"misses"`
	// Unleased are the misses for which the cache had a copy but no lease to use it: several hosts share the
	// store, and the database did not accept this host's heartbeats in time.
	Unleased uint64 `json:"unleased"`
	// Fills are tokens added, Refusals are tokens not added because they ended while being read.
	Fills    uint64 `json:"fills"`
	Refusals uint64 `json:"refusals"`
	// Kills are invalidations received, Evictions are tokens evicted for space, Drops are flushes of the
	// whole cache.
	Kills     uint64 `json:"kills"`
	Evictions uint64 `json:"evictions"`
	Drops     uint64 `json:"drops"`
	// Entries and Bytes (an estimate) are the current size.
	Entries int   `json:"entries"`
	Bytes   int64 `json:"bytes"`
}

// Backend returns the status of the backend. An unavailable backend is no error.
func (c *Client) Backend(ctx context.Context) (*Backend, error) {
	return get[Backend](ctx, c, "/backend", nil)
}

// SwapBackend starts a swap to a backend of the server's configuration and returns the id of the job. With
// sameData a newer program takes over the data of the current one; otherwise the new backend must be empty.
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

// AbortSwap aborts a swap before its switch. It returns ErrConflict if the swap has ended.
func (c *Client) AbortSwap(ctx context.Context, job string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/backend/swap/" + url.PathEscape(job)}, nil)
}

// Backup writes a backup and returns its size in bytes. After an error the written backup is incomplete.
func (c *Client) Backup(ctx context.Context, w io.Writer) (size int64, err error) {
	what := call{method: http.MethodPost, path: "/backend/backup"}
	response, err := c.send(ctx, what)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	if err := checkKind(response, what, "application/octet-stream"); err != nil {
		return 0, err
	}
	if size, err = io.Copy(w, response.Body); err != nil {
		return size, fmt.Errorf("client: the backup broke off after %d bytes: %w", size, err)
	}
	return size, nil
}
