package rpc

// How many goroutines send on one stream.

import (
	"context"
	"runtime"
	"sync"
)

// maxGathered is how many bytes of a message others are added to: the limits of messages leave room for one
// of the largest besides.
const maxGathered = 256 << 10

// outbox gathers what goroutines have to send on a stream into one message, while another of them sends the
// one before: each message costs the same, however much is in it. No goroutine of its own is woken for it.
type outbox[Message any] struct {
	send func(*Message) error

	mu      sync.Mutex
	waiting []*Message
	size    int   // of the last of them
	sending bool  // somebody is in flush
	err     error // why nothing can be sent any more
}

// sending returns the send of an outbox on a stream, which ends with a message that cannot be sent: nobody is
// left waiting for it.
func sending[Message any](send func(*Message) error, end context.CancelFunc) func(*Message) error {
	return func(message *Message) error {
		err := send(message)
		if err != nil {
			end()
		}
		return err
	}
}

// put adds size bytes to what waits. Where it reports true, the caller has to call flush.
func (o *outbox[Message]) put(size int, add func(*Message)) (flush bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return false, o.err
	}
	if len(o.waiting) == 0 || o.size+size > maxGathered {
		o.waiting, o.size = append(o.waiting, new(Message)), 0
	}
	add(o.waiting[len(o.waiting)-1])
	o.size += size
	flush = !o.sending
	o.sending = true
	return flush, nil
}

// flush sends what waits until nothing does. Where others are about to send, they are let go first.
func (o *outbox[Message]) flush(others bool) {
	for {
		if others {
			runtime.Gosched()
		}
		o.mu.Lock()
		messages := o.waiting
		o.waiting = nil
		if len(messages) == 0 || o.err != nil {
			o.sending = false
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
		for _, message := range messages {
			if err := o.send(message); err != nil {
				o.fail(err)
				break
			}
		}
	}
}

// fail has everything that follows refused with err.
func (o *outbox[Message]) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}
