package testenv

// A concurrent log buffer.

import (
	"strings"
	"sync"
)

// Log buffers what is written to it. It is safe for concurrent use.
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

// String returns everything written so far.
func (l *Log) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return string(l.text)
}

// Contains reports whether text was written.
func (l *Log) Contains(text string) bool { return strings.Contains(l.String(), text) }

// Tail returns the last n bytes.
func (l *Log) Tail(n int) string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return string(l.text[max(0, len(l.text)-n):])
}

// Taken returns what was written since its last call.
func (l *Log) Taken() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	text := string(l.text[l.taken:])
	l.taken = len(l.text)
	return text
}
