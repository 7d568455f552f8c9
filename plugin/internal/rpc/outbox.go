package rpc

// Sending messages on a stream of calls: one goroutine sends them.

import (
	"context"
	"runtime"
)

// maxGathered is the size up to which items are added to a message, in bytes: the message limits leave room
// for one item of the maximum size besides.
const maxGathered = 256 << 10

// perCall is the size of a call or an answer besides its contents, in bytes.
const perCall = 128

// wake wakes the sending goroutine. Its buffer of one holds a wake-up that comes while the goroutine sends.
type wake chan struct{}

func newWake() wake { return make(wake, 1) }

// signal is called after something was enqueued.
func (w wake) signal() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// send sends what take returns, whenever woken, until sending fails or the stream ends. Items enqueued while
// a message is sent are batched into the next one, because the cost of a message hardly depends on its size.
func send[Message any](
	stream context.Context, woken wake, take func() *Message, send func(*Message) error,
) error {
	for {
		select {
		case <-woken:
		case <-stream.Done():
			return stream.Err()
		}
		runtime.Gosched() // let others enqueue more
		for message := take(); message != nil; message = take() {
			if err := send(message); err != nil {
				return err
			}
		}
	}
}

// remaining returns the items after the first n, or nil if there are none, so that sent items are released.
func remaining[Item any](items []Item, n int) []Item {
	if n == len(items) {
		return nil
	}
	return items[n:]
}
