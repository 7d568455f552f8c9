package transfer

// Recover ends what an interrupted move left (rule 12).

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// ErrIncomplete means that the store is the target of a move that did not complete, and must not serve.
var ErrIncomplete = errors.New("the store was being filled from another one and is not complete")

// ErrNotSuccessor means that the store under the successor's name is another one, or has lost its content.
var ErrNotSuccessor = errors.New("it is not the store that has replaced this one")

// Recover ends what an interrupted move left of a store. It returns the name of the store that has replaced
// it, empty if the store itself serves. open returns the store of a name, under a context that has its id
// (ticketstore.WithStoreIDs) where that is known: a fenced source asks its target. An error changes nothing.
//
// A move that another host carries out (Status.Moving) is left to it: Recover waits behind its fence until it
// is made, lifted or given up. So a host follows with it, at its start or later, what another one moves.
func Recover(
	ctx context.Context, store Store, open func(ctx context.Context, name string) (Store, error),
) (follow string, err error) {
	for {
		status, err := statusOf(ctx, store)
		if err != nil {
			return "", err
		}
		switch status.State {
		case Superseded:
			return follows(ctx, status, open)
		case Importing, Abandoned:
			return "", fmt.Errorf("%w (from %s)", ErrIncomplete, status.Peer)
		case Exporting:
			_, err := EndLost(ctx, store, status)
			return "", err
		case Fenced:
			// It is opened before it is needed: calls wait.
			target, err := openPeer(ctx, status, open)
			if err != nil {
				return "", fmt.Errorf("whether %q is active: %w", status.Peer, err)
			}
			follow, decided, err := recoverFenced(ctx, store, target, status)
			if decided || err != nil {
				return follow, err
			}
		default:
			return "", nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// EndLost has a source serve alone whose move was lost with its host while it copied, and reports whether
// there was one. The step is bound to the id of that move: one that has begun meanwhile goes on.
func EndLost(ctx context.Context, store Store, status *Status) (ended bool, err error) {
	if status.State != Exporting || status.Moving() {
		return false, nil
	}
	err = store.Become(ctx, Transition{To: Active, ID: status.ID})
	return err == nil, err
}

// openPeer opens the other store of a move.
func openPeer(
	ctx context.Context, status *Status, open func(ctx context.Context, name string) (Store, error),
) (Store, error) {
	if status.PeerStore != "" {
		ctx = ticketstore.WithStoreIDs(ctx, status.PeerStore)
	}
	return open(ctx, status.Peer)
}

// follows returns the name of the successor after checking that it is that store: another folder under its
// name would serve without any of the sessions.
func follows(
	ctx context.Context, status *Status, open func(ctx context.Context, name string) (Store, error),
) (follow string, err error) {
	target, err := openPeer(ctx, status, open)
	if err != nil {
		return "", fmt.Errorf("superseded by %q: %w", status.Peer, err)
	}
	other, err := statusOf(ctx, target)
	if err != nil {
		return "", fmt.Errorf("superseded by %q: %w", status.Peer, err)
	}
	if other.Origin != status.ID {
		return "", fmt.Errorf("superseded by %q: %w", status.Peer, ErrNotSuccessor)
	}
	return status.Peer, nil
}

// recoverFenced asks the target of a fenced source whether it is active. Where it is not, nothing is decided
// while another host carries the move out.
func recoverFenced(
	ctx context.Context, store, target Store, status *Status,
) (follow string, decided bool, err error) {
	other, err := statusOf(ctx, target)
	if err != nil {
		return "", false, err
	}
	switch {
	case other.Origin == status.ID:
		return status.Peer, true, store.Become(ctx, Transition{
			To: Superseded, ID: status.ID, Peer: status.Peer, PeerStore: status.PeerStore,
		})
	case other.ID != status.ID:
		// It was never told of the move, so it is not the store that may be active: another host's folder has
		// its name.
		return "", false, fmt.Errorf("whether %q is active: %w", status.Peer, ErrNotSuccessor)
	case status.Moving():
		return "", false, nil
	case other.State == Importing:
		// First the target, then the fence: both must never be active.
		if err := target.Become(ctx, Transition{To: Abandoned, ID: status.ID}); err != nil {
			return "", false, err
		}
	}
	return "", true, store.Become(ctx, Transition{To: Active, ID: status.ID})
}
