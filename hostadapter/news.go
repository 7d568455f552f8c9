package hostadapter

import (
	"sync"
	"time"
)

const (
	// newsEvery is how often the same is logged at most.
	newsEvery = time.Minute
	// maxNews bounds the texts that are remembered.
	maxNews = 100
)

// newsOnly tells what was logged lately from what is news.
type newsOnly struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// isNews reports whether a text is to be logged now.
func (n *newsOnly) isNews(text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now() // it paces the log, and says nothing of sessions
	if last, found := n.told[text]; found && now.Sub(last) < newsEvery {
		return false
	}
	if n.told == nil || len(n.told) == maxNews {
		n.told = map[string]time.Time{}
	}
	n.told[text] = now
	return true
}
