package hostadapter

// What the packages below need of an Adapter: the implementation of tie.Adapter.

import (
	"context"
	"log/slog"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter/internal/tie"
	"github.com/fosite-sessions/sessions/logout"
)

// Tie is for the packages below this one: what is in it is of no use to hosts, and may change at any time.
func (a *Adapter) Tie() tie.Adapter { return tied{a} }

// tied is an Adapter with what the packages below need of it.
type tied struct{ a *Adapter }

var _ tie.Adapter = tied{}

func (t tied) Issuer() string                  { return t.a.config.Issuer }
func (t tied) ServesIssuer(issuer string) bool { return t.a.servesIssuer(issuer) }
func (t tied) Logger() *slog.Logger            { return t.a.config.Logger }
func (t tied) Now() time.Time                  { return t.a.now() }

func (t tied) Persist(ctx context.Context, call func(ctx context.Context) error) error {
	return persist(ctx, call)
}

func (t tied) EndExpired(ctx context.Context, sessionID string) { t.a.endExpired(ctx, sessionID) }

func (t tied) UserActive(ctx context.Context, subjectID string) (bool, error) {
	return t.a.userActive(ctx, subjectID)
}

func (t tied) Seal(bound tie.Binding, plaintext []byte) []byte {
	return t.a.ring.seal(bound.Purpose, bound.ID, plaintext)
}

func (t tied) Unseal(bound tie.Binding, sealed []byte) ([]byte, error) {
	return t.a.unseal(bound.Purpose, bound.ID, sealed)
}

func (t tied) UnsealBound(
	bound, former tie.Binding, sealed []byte,
) (plaintext []byte, isFormer bool, err error) {
	return t.a.unsealBound(bound, former, sealed)
}

func (t tied) Coordinates(client *logout.Client) bool { return t.a.coordinates(client) }

func (t tied) Slide(sessionID string) *grantstore.Slide { return t.a.slide(sessionID) }

func (t tied) SlideNow(ctx context.Context, sessionID, subjectID string, times *grantstore.SessionTimes) {
	t.a.slideNow(ctx, sessionID, subjectID, times)
}

func (t tied) Slid(sessionID, subjectID string) { t.a.publishRenewed(sessionID, subjectID) }
