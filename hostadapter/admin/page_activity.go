package admin

// The activity page: current counts, and plots of the last hour.

import (
	"fmt"
	"net/http"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// activityView is the data of the page.
type activityView struct {
	*hostadapter.BackendStatus
	Plots []plot
	// Spans are the figures of the last hour, as a table.
	Spans []hostadapter.Minute
}

// plot shows one count per minute as bars.
type plot struct {
	ID, Title string
	Total     int
	// Most is the highest count, MostAt its minute; zero and empty if all counts are zero.
	Most   int
	MostAt string
	Bars   []bar
}

// bar is a rectangle of a plot.
type bar struct{ X, Y, Height int }

// The dimensions of the plots, and the minutes per table row.
const (
	plotHeight = 60
	barStep    = 10
	minuteSpan = 5
)

// Text describes the plot in words.
func (p *plot) Text() string {
	if p.Total == 0 {
		return "None in the last hour."
	}
	return fmt.Sprintf("%s in the last hour, at most %s in a minute, at %s UTC.", number(p.Total),
		number(p.Most), p.MostAt)
}

func plotOf(id, title string, minutes []hostadapter.Minute, count func(*hostadapter.Minute) int) plot {
	p := plot{ID: id, Title: title}
	for i := range minutes {
		n := count(&minutes[i])
		p.Total += n
		if n > p.Most {
			p.Most, p.MostAt = n, minutes[i].Begin.UTC().Format("15:04")
		}
	}
	for i := range minutes {
		if n := count(&minutes[i]); n > 0 {
			height := max(2, n*plotHeight/p.Most)
			p.Bars = append(p.Bars, bar{X: i*barStep + 1, Y: plotHeight - height, Height: height})
		}
	}
	return p
}

func (m *mount) activityPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	minutes := m.sessions.Activity()
	data := &activityView{
		BackendStatus: m.sessions.BackendStatus(r.Context()),
		Plots: []plot{
			plotOf("started", "Sign-ins", minutes, func(m *hostadapter.Minute) int { return m.Started }),
			plotOf("ended", "Sessions ended", minutes, func(m *hostadapter.Minute) int { return m.Ended }),
			plotOf("delivered", "Notifications delivered", minutes,
				func(m *hostadapter.Minute) int { return m.Delivered }),
		},
	}
	for i := range minutes {
		if i%minuteSpan == 0 {
			data.Spans = append(data.Spans, hostadapter.Minute{Begin: minutes[i].Begin})
		}
		span := &data.Spans[len(data.Spans)-1]
		span.Started += minutes[i].Started
		span.Ended += minutes[i].Ended
		span.Delivered += minutes[i].Delivered
	}
	w.Header().Set("Refresh", fmt.Sprint(int(time.Minute.Seconds())))
	return m.show(w, r, record, http.StatusOK, "activity",
		view{Title: "Activity", Section: "activity", Data: data})
}
