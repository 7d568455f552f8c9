package testenv

// A log buffer that goroutines share.

import (
	"strings"
	"sync"
)

// Log keeps what is written to it, by any number of goroutines, for a test that reads it meanwhile.
type Log struct {
	mutex sync.Mutex
	text  []byte
	taken int
}

// Write never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

// String returns all that was written so far.
func (l *Log) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return string(l.text)
}

// Contains reports whether a text was written so far.
func (l *Log) Contains(text string) bool { return strings.Contains(l.String(), text) }

// Tail returns the last n bytes that were written.
func (l *Log) Tail(n int) string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return string(l.text[max(0, len(l.text)-n):])
}

// Taken returns what was written since the last call of it.
func (l *Log) Taken() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	text := string(l.text[l.taken:])
	l.taken = len(l.text)
	return text
}
