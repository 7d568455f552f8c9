package rpc

// How messages get on a stream of calls: one goroutine sends them.

import (
	"context"
	"runtime"
)

// maxGathered is how many bytes of a message others are added to: the limits of messages leave room for one
// of the largest besides.
const maxGathered = 256 << 10

// perCall is what a call or an answer costs besides its contents, in bytes.
const perCall = 128

// wake is what the goroutine that sends waits for. It has room for one: what is put before that goroutine
// looks is found at once.
type wake chan struct{}

func newWake() wake { return make(wake, 1) }

// up is called behind what is to be sent.
func (w wake) up() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// send sends what take returns, whenever woken, until that fails or the stream ends. What comes while a
// message is sent goes into the next one: each costs the same, however much is in it.
func send[Message any](
	stream context.Context, woken wake, take func() *Message, send func(*Message) error,
) error {
	for {
		select {
		case <-woken:
		case <-stream.Done():
			return stream.Err()
		}
		runtime.Gosched() // others may be about to put something
		for message := take(); message != nil; message = take() {
			if err := send(message); err != nil {
				return err
			}
		}
	}
}

// rest returns what follows the first n items, nil where that is nothing: what was sent is not kept.
func rest[Item any](items []Item, n int) []Item {
	if n == len(items) {
		return nil
	}
	return items[n:]
}
