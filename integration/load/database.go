package main

// Statistics of PostgreSQL during a measurement.

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
)

// database holds the statistics of PostgreSQL for one measurement.
type database struct {
	cpu time.Duration
	// samples is how often a host's connection was seen in a transaction; waits is how many of those waited
	// for a lock.
	samples, waits int
}

// lockWaits returns the fraction of samples that waited for a lock.
func (d *database) lockWaits() float64 { return float64(d.waits) / float64(max(d.samples, 1)) }

const (
	sampleEvery = 20 * time.Millisecond
	// Waiting for a row lock appears as waiting for the transaction that holds it.
	sample = `SELECT count(*), count(*) FILTER (WHERE wait_event_type = 'Lock') FROM pg_stat_activity
		WHERE application_name = 'fosite-sessions' AND state <> 'idle'`
)

// watch samples a database until the returned function is called.
func watch(ctx context.Context, s *pgserver.Server) func() (database, error) {
	if s == nil {
		return func() (database, error) { return database{}, nil }
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	d := database{}
	before := s.CPU()
	go func() { ended <- d.look(ctx, s) }()
	return func() (database, error) {
		stop()
		err := <-ended
		d.cpu = s.CPU() - before
		return d, err
	}
}

// look takes samples until the context ends.
func (d *database) look(ctx context.Context, s *pgserver.Server) error {
	connection, err := pgx.Connect(context.WithoutCancel(ctx), s.Superuser())
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close(context.WithoutCancel(ctx)) }()
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		var samples, waits int
		if err := connection.QueryRow(context.WithoutCancel(ctx), sample).Scan(&samples, &waits); err != nil {
			return err
		}
		d.samples, d.waits = d.samples+samples, d.waits+waits
	}
}
