package hostadapter

// The implementation of tie.Adapter for the packages below hostadapter.

import (
	"context"
	"log/slog"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter/internal/tie"
	"github.com/fosite-sessions/sessions/logout"
)

// Tie is for the packages below hostadapter: it is of no use to hosts, and may change at any time.
func (a *Adapter) Tie() tie.Adapter { return tieAdapter{a} }

// tieAdapter implements tie.Adapter.
type tieAdapter struct{ a *Adapter }

var _ tie.Adapter = tieAdapter{}

func (t tieAdapter) Issuer() string                  { return t.a.config.Issuer }
func (t tieAdapter) ServesIssuer(issuer string) bool { return t.a.servesIssuer(issuer) }
func (t tieAdapter) Logger() *slog.Logger            { return t.a.config.Logger }
func (t tieAdapter) Now() time.Time                  { return t.a.now() }

func (t tieAdapter) Persist(ctx context.Context, call func(ctx context.Context) error) error {
	return persist(ctx, call)
}

func (t tieAdapter) EndExpired(ctx context.Context, sessionID string) { t.a.endExpired(ctx, sessionID) }

func (t tieAdapter) UserActive(ctx context.Context, subjectID string) (bool, error) {
	return t.a.userActive(ctx, subjectID)
}

func (t tieAdapter) Seal(bound tie.Binding, plaintext []byte) []byte {
	return t.a.ring.seal(bound.Purpose, bound.ID, plaintext)
}

func (t tieAdapter) Unseal(bound tie.Binding, sealed []byte) ([]byte, error) {
	return t.a.unseal(bound.Purpose, bound.ID, sealed)
}

func (t tieAdapter) UnsealBound(
	bound, former tie.Binding, sealed []byte,
) (plaintext []byte, isFormer bool, err error) {
	return t.a.unsealBound(bound, former, sealed)
}

func (t tieAdapter) Coordinates(client *logout.Client) bool { return t.a.coordinates(client) }

func (t tieAdapter) Slide(sessionID string) *grantstore.Slide {
	slide := t.a.slide(sessionID)
	return &slide
}

func (t tieAdapter) SlideDue(times *grantstore.SessionTimes) bool {
	slide := t.a.slide("")
	return t.a.slideDue(&slide, times)
}

func (t tieAdapter) SlideNow(
	ctx context.Context, sessionID, subjectID string, times *grantstore.SessionTimes,
) {
	t.a.slideNow(ctx, sessionID, subjectID, times)
}

func (t tieAdapter) Slid(sessionID, subjectID string) { t.a.publishRenewed(sessionID, subjectID) }
