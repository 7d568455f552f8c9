package hostadapter

// This host's activity in the last hour, by minute, for the admin page.

import (
	"sync"
	"time"
)

// activityMinutes is the number of minutes that are kept.
const activityMinutes = 60

// Minute counts this host's events within a minute.
type Minute struct {
	// Begin is the start of the minute.
	Begin time.Time
	// Started and Ended count sessions, Delivered the notifications that a client accepted. Sessions ended by
	// a removal of all sessions are not counted: no host ends them one by one.
	Started, Ended, Delivered int
}

// activity counts the events of the last hour in a ring, indexed by minutes since 1970.
type activity struct {
	mu      sync.Mutex
	minutes [activityMinutes]Minute
}

// at returns the minute of a time, and resets its slot if it held an earlier minute. The caller holds mu.
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

// Activity returns this host's activity in each of the last 60 minutes, the oldest first and the current one
// last. Hosts of a shared store each count their own.
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
