package integration

// The benchmark of a store's size on disk.

import (
	"fmt"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// BenchmarkDiskAfterRenewals measures the size on disk of sessions of two clients with two grants each,
// before and after a day in which each session is renewed once an hour. It ends earlier if two hours added
// less than 1 %. Logs and garbage that the engine has not collected count.
func BenchmarkDiskAfterRenewals(b *testing.B) {
	const hours, settled = 24, 0.01
	sessions := 10_000
	if large() {
		sessions = 1_000_000
	}
	onEngines(b, func(b *testing.B, empty func() plugin.Config) {
		for b.Loop() {
			b.StopTimer()
			config, start := empty(), time.Now().UTC()
			session := func(i int) *ticketstore.Session {
				s := benchSession(i, fmt.Sprint("user ", i), start, start.Add(2*time.Hour))
				s.Ticket = make([]byte, 300)
				return s
			}
			fill(b, config, &filling{sessions: sessions, clients: 2, grants: 2, session: session})
			sizes := []float64{diskUsed(b, config)}
			b.ReportMetric(sizes[0]/float64(sessions), "B/session-filled")
			b.StartTimer()
			for hour := 1; hour <= hours; hour++ {
				renewAll(b, config, sessions, uint64(hour), session, start.Add(time.Duration(hour)*time.Hour))
				sizes = append(sizes, diskUsed(b, config))
				if hour > 2 && sizes[hour] < sizes[hour-2]*(1+settled) {
					break
				}
			}
			b.ReportMetric(sizes[len(sizes)-1]/float64(sessions), "B/session-renewed")
			b.ReportMetric(float64(len(sizes)-1), "hours")
		}
	})
}

// renewAll renews each session; all have the same version. Sessions renewed together are not adjacent.
func renewAll(b *testing.B, config plugin.Config, sessions int, version uint64,
	session func(i int) *ticketstore.Session, now time.Time,
) {
	b.Helper()
	client, err := plugin.Open(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	const stride = 7919 // a prime
	prepare(b, sessions, func(i int) error {
		_, err := client.Tickets().Renew(b.Context(), ticketstore.Renewal{
			Key: session(i * stride % sessions).Key, Version: version, Expires: now.Add(2 * time.Hour),
		}, now)
		return err
	})
	if err := client.Close(); err != nil || b.Failed() {
		b.Fatal(err)
	}
}

// diskUsed asks a newly started plugin, whose figure is current.
func diskUsed(b *testing.B, config plugin.Config) float64 {
	b.Helper()
	client, err := plugin.Open(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	figures, err := client.Figures(b.Context())
	if err == nil {
		err = client.Close()
	}
	if err != nil || figures.DiskUsed <= 0 {
		b.Fatalf("%d bytes on disk, error %v", figures.DiskUsed, err)
	}
	return float64(figures.DiskUsed)
}
