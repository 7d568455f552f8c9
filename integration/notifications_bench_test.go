package integration

// The benchmark of notifications.

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// BenchmarkNotifications delivers the notifications of 100 sessions to 100 clients, 10,000 in total, with
// durable writes. It measures the rate for 99 of the clients while the last one answers, and while it never
// answers. One run makes both measurements, so that their rates are comparable.
func BenchmarkNotifications(b *testing.B) {
	var rates [2]float64
	for range b.N {
		for i, mute := range []bool{false, true} {
			rate, claims := benchNotifications(b, mute)
			rates[i] += rate / float64(b.N)
			if mute {
				b.ReportMetric(claims, "claims/notification")
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rates[0], "all-answer-notifications/s")
	b.ReportMetric(rates[1], "one-mute-notifications/s")
	b.ReportMetric(rates[1]/rates[0], "ratio")
}

const benchClientsTold, benchSessionsEnded = 100, 100

// benchParties are the clients. told is closed when all except the first have received every notification.
func benchParties(b *testing.B, mute bool) (clients logout.ClientMap, told <-chan struct{}) {
	b.Helper()
	var left atomic.Int32
	left.Store((benchClientsTold - 1) * benchSessionsEnded)
	done, release := make(chan struct{}), make(chan struct{})
	clients = logout.ClientMap{}
	for i := range benchClientsTold {
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			switch {
			case i > 0:
				if left.Add(-1) == 0 {
					close(done)
				}
			case mute:
				select {
				case <-release:
				case <-r.Context().Done():
				}
			}
		}))
		b.Cleanup(server.Close)
		clients[fmt.Sprintf("client%d", i)] = logout.Client{BackChannelLogoutURI: server.URL}
	}
	b.Cleanup(sync.OnceFunc(func() { close(release) }))
	return clients, done
}

// countedClaims counts the claims on a store.
type countedClaims struct {
	logout.Store
	n atomic.Int64
}

func (c *countedClaims) Claim(
	ctx context.Context, claim logout.Claim, now time.Time,
) (*logout.ClaimResult, error) {
	c.n.Add(1)
	return c.Store.Claim(ctx, claim, now)
}

// benchNotifications returns the rate of notifications to the 99 clients, and the claims per notification.
func benchNotifications(b *testing.B, mute bool) (rate, claims float64) {
	b.Helper()
	engine, err := badger.Open(b.Context(), badger.Settings{Path: b.TempDir()}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer engine.Close()
	clients, told := benchParties(b, mute)
	queueNotifications(b, engine, time.Now().Add(-time.Minute)) // so that no client is notified twice
	store := &countedClaims{Store: engine.Logout()}
	signer := hostadapter.NewSigner(func(context.Context) (hostadapter.SigningKey, error) {
		return hostadapter.SigningKey{Key: benchKey()}, nil
	})
	started := time.Now()
	dispatcher, err := logout.NewDispatcher(logout.DispatcherConfig{
		Store: store, Signer: signer, Clients: clients, Logger: slog.New(slog.DiscardHandler),
		AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	})
	if err != nil {
		b.Fatal(err)
	}
	select {
	case <-told:
	case <-time.After(5 * time.Minute):
		b.Fatal("after five minutes not all of the 99 clients were notified")
	}
	const notifications = (benchClientsTold - 1) * benchSessionsEnded
	rate, claims = notifications/time.Since(started).Seconds(), float64(store.n.Load())/notifications
	if err := dispatcher.Close(); err != nil && !mute {
		b.Error(err)
	}
	return rate, claims
}

// queueNotifications signs users in at every client and ends their sessions.
func queueNotifications(b *testing.B, engine *badger.Engine, now time.Time) {
	b.Helper()
	var group sync.WaitGroup
	for s := range benchSessionsEnded {
		group.Go(func() {
			sid := fmt.Sprintf("sid%d", s)
			err := engine.Tickets().Create(b.Context(), &ticketstore.Session{
				Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "ann", Issuer: "https://op.example",
				AuthTime: now, Created: now, Renewed: now, Expires: now.Add(time.Hour),
			})
			for c := range benchClientsTold {
				if err == nil {
					_, err = engine.Grants().Apply(b.Context(), &grantstore.Batch{
						OperationID: fmt.Sprintf("%s-%d", sid, c),
						Use: &grantstore.Use{
							SessionID: sid, ClientID: fmt.Sprintf("client%d", c), Notify: true,
						},
					}, now)
				}
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	result, err := engine.Logout().End(b.Context(),
		&logout.Ending{OperationID: "end", SubjectID: "ann", Reason: logout.Terminated},
		now.Add(30*time.Second))
	if err != nil || result.NotificationsQueued != benchClientsTold*benchSessionsEnded {
		b.Fatalf("queued %+v, error %v", result, err)
	}
}
