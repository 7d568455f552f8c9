package transfer

// Recover ends what an interrupted move left (rule 12).

import (
	"context"
	"errors"
	"fmt"
)

// ErrIncomplete means that the store is the target of a move that did not complete, and must not serve.
var ErrIncomplete = errors.New("the store was being filled from another one and is not complete")

// ErrNotSuccessor means that the store under the successor's name is another one, or has lost its content.
var ErrNotSuccessor = errors.New("it is not the store that has replaced this one")

// Recover ends what an interrupted move left of a store. It returns the name of the store that has replaced
// it, empty if the store itself serves. open returns the store of a name: a fenced source asks its target. An
// error changes nothing.
func Recover(
	ctx context.Context, store Store, open func(ctx context.Context, name string) (Store, error),
) (follow string, err error) {
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
		return "", store.Become(ctx, Transition{To: Active, ID: status.ID})
	case Fenced:
		target, err := open(ctx, status.Peer)
		if err != nil {
			return "", fmt.Errorf("whether %q is active: %w", status.Peer, err)
		}
		return recoverFenced(ctx, store, target, status)
	}
	return "", nil
}

// follows returns the name of the successor after checking that it is that store: another folder under its
// name would serve without any of the sessions.
func follows(
	ctx context.Context, status *Status, open func(ctx context.Context, name string) (Store, error),
) (follow string, err error) {
	target, err := open(ctx, status.Peer)
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

func recoverFenced(ctx context.Context, store, target Store, status *Status) (follow string, err error) {
	other, err := statusOf(ctx, target)
	if err != nil {
		return "", err
	}
	if other.Origin == status.ID {
		return status.Peer, store.Become(ctx, Transition{To: Superseded, ID: status.ID, Peer: status.Peer})
	}
	switch {
	case other.ID != status.ID:
		// It was never told of the move, so it is not the store that may be active: another host's folder has
		// its name.
		return "", fmt.Errorf("whether %q is active: %w", status.Peer, ErrNotSuccessor)
	case other.State == Importing:
		// First the target, then the fence: both must never be active.
		if err := target.Become(ctx, Transition{To: Abandoned, ID: status.ID}); err != nil {
			return "", err
		}
	}
	return "", store.Become(ctx, Transition{To: Active, ID: status.ID})
}
