package transfer

// Recover completes or reverts an interrupted move (rule 12).

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// ErrIncomplete means that the store is the target of an incomplete move and must not serve.
var ErrIncomplete = errors.New("the store was being filled from another one and is not complete")

// ErrNotSuccessor means that the store under the successor's name is a different one, or has lost its
// content.
var ErrNotSuccessor = errors.New("it is not the store that has replaced this one")

// Recover completes or reverts an interrupted move of a store. It returns the name of the store's successor,
// or "" if the store itself serves. It asks the target of a fenced source, which it gets from open: open
// returns the store with a name, under a context with its id if known (ticketstore.WithStoreIDs). If Recover
// returns an error, it has changed nothing.
//
// If another host is running the move (Status.Moving), Recover waits behind its fence until the move is
// complete, reverted or lost. So a host follows another host's move, at startup or later.
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
			// Open it before it is needed, because calls are waiting.
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

// EndLost ends a move whose host was lost while copying, so that the source serves alone, and reports whether
// there was one. The step is bound to the move's id: a move that has begun meanwhile is not affected.
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

// follows returns the name of the successor after verifying its identity: a different folder under that name
// would serve without the sessions.
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

// recoverFenced asks the target of a fenced source whether it is active. If it is not, nothing is decided
// while another host runs the move.
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
		// The target never took part in the move, so it cannot be the active store: it is another host's
		// folder of the same name.
		return "", false, fmt.Errorf("whether %q is active: %w", status.Peer, ErrNotSuccessor)
	case status.Moving():
		return "", false, nil
	case other.State == Importing:
		// First the target, then the fence: the two stores must never both be active.
		if err := target.Become(ctx, Transition{To: Abandoned, ID: status.ID}); err != nil {
			return "", false, err
		}
	}
	return "", true, store.Become(ctx, Transition{To: Active, ID: status.ID})
}
