package admin

// Search in all categories from one field.

import (
	"context"
	"net/http"
	"net/url"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// searchPage is the data of the page that lists the matches if there are several kinds.
type searchPage struct {
	Text  string
	Found []found
}

// found is one kind of match.
type found struct {
	What string
	// Total is -1 if unknown.
	Total int
	// Link is the URL of the matches.
	Link string
}

// searchPage searches for a text as session id, subject, client and part of a name. With one kind of match it
// redirects there, with several it lists them.
func (m *mount) searchPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	p := readParameters(r, "q")
	if p.err != nil {
		return p.err
	}
	text := p.text("q")
	if text == "" {
		seeOther(w, "./")
		return nil
	}
	data := searchPage{Text: text}
	if len(text) <= ticketstore.MaxID { // a longer text cannot be an id
		for _, kind := range []struct {
			what, name string
			filter     ticketstore.SessionFilter
		}{
			{"Session ID", "session_id", ticketstore.SessionFilter{SessionID: text}},
			{"Subject", "subject_id", ticketstore.SessionFilter{SubjectID: text}},
			{"Client", "client_id", ticketstore.SessionFilter{ClientID: text}},
		} {
			if err := m.search(r.Context(), &data, kind.what, kind.name, kind.filter); err != nil {
				return err
			}
		}
	}
	err := m.search(r.Context(), &data, "Name", "display_name", ticketstore.SessionFilter{DisplayName: text})
	if err != nil {
		return err
	}
	switch len(data.Found) {
	case 0: // the list shows that it is empty
		seeOther(w, "./?"+url.Values{"display_name": {text}}.Encode())
		return nil
	case 1:
		seeOther(w, data.Found[0].Link)
		return nil
	}
	return m.show(w, r, record, http.StatusOK, "search",
		view{Title: "Search", Section: "sessions", Data: data})
}

// search adds the matches of a filter. An incomplete search by name counts as a match: the list continues it.
func (m *mount) search(
	ctx context.Context, data *searchPage, what, name string, filter ticketstore.SessionFilter,
) error {
	page, err := m.sessions.QuerySessions(ctx, ticketstore.SessionQuery{Filter: filter, Count: 1})
	if err != nil {
		return err
	}
	if len(page.Sessions) == 0 && !page.HasNext {
		return nil
	}
	value := data.Text
	link := "./?" + url.Values{name: {value}}.Encode()
	if name == "session_id" {
		link = "session?" + url.Values{name: {value}}.Encode()
	}
	data.Found = append(data.Found, found{What: what, Total: page.TotalCount, Link: link})
	return nil
}
