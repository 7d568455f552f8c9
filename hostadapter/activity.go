package hostadapter

// What this host did in the last hour, by minute, for the admin page.

import (
	"sync"
	"time"
)

// activityMinutes is how many minutes are kept.
const activityMinutes = 60

// Minute counts what this host did within a minute.
type Minute struct {
	// Begin is the minute's.
	Begin time.Time
	// Started and Ended count sessions, Delivered the notifications that a client accepted. Sessions that
	// end by a removal of all are not among them: no host ends these one by one.
	Started, Ended, Delivered int
}

// activity counts the events of the last hour in a ring, by the number of their minute since 1970.
type activity struct {
	mu      sync.Mutex
	minutes [activityMinutes]Minute
}

// at returns the minute of a moment, and begins it where its place has another one. Its caller holds mu.
func (a *activity) at(moment time.Time) *Minute {
	begin := moment.UTC().Truncate(time.Minute)
	minute := &a.minutes[(begin.Unix()/60)%activityMinutes]
	if !minute.Begin.Equal(begin) {
		*minute = Minute{Begin: begin}
	}
	return minute
}

func (a *activity) event(event Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch e := event.(type) {
	case *SessionStarted:
		a.at(e.Time).Started++
	case *SessionEnded:
		a.at(e.Time).Ended += 1 + e.More
	case *NotificationDelivered:
		a.at(e.Time).Delivered++
	}
}

// Activity returns what this host did in each of the last 60 minutes, the oldest first and the present one
// last. Other hosts of a shared store count their own.
func (o *Operations) Activity() []Minute {
	a := &o.adapter.events.activity
	a.mu.Lock()
	defer a.mu.Unlock()
	now := o.adapter.now()
	minutes := make([]Minute, activityMinutes)
	for i := range minutes {
		minutes[i] = *a.at(now.Add(time.Duration(i+1-activityMinutes) * time.Minute))
	}
	return minutes
}
