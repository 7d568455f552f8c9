package admin

// The preview and the result of a removal.

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// maxSelected bounds the sessions that one form ends.
const maxSelected = 100

// removalForm is what an operator selects to end: the sessions named, or all that a subject has.
type removalForm struct {
	SubjectID  string
	SessionIDs []string
	// All: every session there is. Sure: the operator has confirmed it.
	All, Sure bool
	// ClientIDs narrows whose tokens and consents are revoked and who is notified; none means every client.
	ClientIDs []string
	// The flags, as the JSON calls them.
	Session, Notify, Tokens, Consents bool
	Reason                            string
	// Preview: count again, and do nothing.
	Preview bool
	// Stale: the operator meant to remove, but has changed the options since the preview. It is made again.
	Stale bool
}

// removalFlags are the names of the flags in a form. An unticked one is not sent.
var removalFlags = []string{
	"remove_server_side_session", "send_backchannel_logout_notification", "revoke_tokens", "revoke_consents",
}

// readRemoval reads a form, or the query that first leads to it, in which the flags are left out and true.
func readRemoval(values url.Values, first bool) (*removalForm, error) {
	known := append([]string{"subject_id", "session_id", "client_id", "all"}, removalFlags...)
	if !first {
		known = append(known, "reason", "do", "sure", "previewed")
	}
	for name, given := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, ticketstore.Invalidf(printable(name), "is not a field of this form")
		case len(given) > 1 && name != "session_id" && name != "client_id":
			return nil, ticketstore.Invalidf(name, "occurs more than once")
		}
	}
	form := &removalForm{
		SubjectID: values.Get("subject_id"), SessionIDs: values["session_id"], Reason: values.Get("reason"),
		Preview: first || values.Get("do") == "preview", All: values.Get("all") == "true",
		Sure: values.Get("sure") == "true", ClientIDs: values["client_id"],
	}
	for i, flag := range []*bool{&form.Session, &form.Notify, &form.Tokens, &form.Consents} {
		*flag = first || values.Get(removalFlags[i]) != ""
	}
	switch {
	case len(form.SessionIDs) > maxSelected:
		return nil, ticketstore.Invalidf("session_id", "occurs more than %d times", maxSelected)
	case slices.Contains(form.SessionIDs, ""):
		return nil, ticketstore.Invalidf("session_id", "is empty")
	case slices.Contains(form.ClientIDs, ""):
		return nil, ticketstore.Invalidf("client_id", "is empty")
	case form.All && (len(form.SessionIDs) > 0 || form.SubjectID != ""):
		return nil, ticketstore.Invalidf("all", "goes with neither session_id nor subject_id")
	case form.All && !form.Preview && !form.Sure:
		return nil, badRequest("Go back and select to end every session.")
	case !form.All && len(form.SessionIDs) == 0 && form.SubjectID == "":
		return nil, badRequest("No session is selected. Go back and select those to end.")
	}
	slices.Sort(form.SessionIDs)
	form.SessionIDs = slices.Compact(form.SessionIDs)
	previewed := values.Get("previewed")
	form.Stale = !form.Preview && previewed != "" && previewed != form.Options()
	form.Preview = form.Preview || form.Stale
	return form, nil
}

// Options identifies what the preview depends on besides whose sessions they are: flags and clients.
func (f *removalForm) Options() string {
	values := url.Values{"client_id": slices.Sorted(slices.Values(f.ClientIDs))}
	for i, flag := range []bool{f.Session, f.Notify, f.Tokens, f.Consents} {
		values.Set(removalFlags[i], strconv.FormatBool(flag))
	}
	sum := sha256.Sum256([]byte(values.Encode()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// removals are the calls that the form means, one a session.
func (f *removalForm) removals() []hostadapter.SessionRemoval {
	one := hostadapter.SessionRemoval{
		SubjectID: f.SubjectID, All: f.All, Reason: f.Reason, DryRun: f.Preview,
		KeepSession: !f.Session, SkipNotification: !f.Notify, KeepTokens: !f.Tokens,
		KeepConsents: !f.Consents, ClientIDs: f.ClientIDs,
	}
	if len(f.SessionIDs) == 0 {
		return []hostadapter.SessionRemoval{one}
	}
	var all []hostadapter.SessionRemoval
	for _, one.SessionID = range f.SessionIDs {
		all = append(all, one)
	}
	return all
}

func (f *removalForm) audit(record *audit) {
	if f.Preview {
		record.action = "preview_removal"
	}
	one := f.removals()[0]
	if len(f.SessionIDs) > 1 {
		one.SessionID = ""
		record.add(slog.Any("session_ids", f.SessionIDs))
	}
	record.add(removalOf(&one)...)
}

// removalPage is the data of the page that asks before anything ends, and of the one that says what has.
type removalPage struct {
	Form removalForm
	// Targets are sessions that the form selects; MoreTargets says how many are not shown.
	Targets     []ticketstore.SessionDetail
	MoreTargets int
	// Clients are those to narrow the removal to: what the targets used, and what the form names.
	Clients []choice
	// Gone counts selected sessions that are not live any more.
	Gone   int
	Result logout.Result
	// Problem says why a removal of several stopped; Left counts those that it did not get to.
	Problem string
	Left    int
}

// removalPage asks, or removes: after either it shows what was counted.
func (m *mount) removalPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	first := r.Method != http.MethodPost
	// What cannot be read is refused: without it the form would select more sessions than were named.
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("The query cannot be read.")
	}
	if !first {
		values, err = readForm(w, r)
	}
	if err != nil {
		return err
	}
	form, err := readRemoval(values, first)
	if err != nil {
		return err
	}
	form.audit(record)
	data := &removalPage{Form: *form}
	if err := m.findTargets(r.Context(), form, data); err != nil {
		return err
	}
	after := func() {}
	if !form.Preview {
		after = m.countSessions(r.Context(), record, form.filters()...)
	}
	status := http.StatusOK
	for i, removal := range form.removals() {
		result, err := m.sessions.RemoveSessions(r.Context(), removal)
		if err != nil && (i == 0 || form.Preview) {
			return err
		}
		if err != nil {
			p := m.explain(w, r, err)
			status, data.Problem, data.Left = p.status, p.detail, len(form.SessionIDs)-i
			break
		}
		if result.JobID != "" {
			record.begun(result.JobID)
			seeOther(w, "job?"+url.Values{"id": {result.JobID}}.Encode())
			return nil
		}
		data.Result.Add(*result)
	}
	after()
	record.add(counted(&data.Result)...)
	if form.Preview {
		return m.show(w, r, record, status, "removal",
			view{Title: data.Title(), Section: "sessions", Data: data})
	}
	if data.Problem == "" { // a page that is loaded again must not remove again
		seeOther(w, "removed?"+data.outcome().Encode())
		return nil
	}
	return m.show(w, r, record, status, "removed",
		view{Title: "Not completed", Section: "sessions", Data: data})
}

// filters select the sessions that the form is about: all of them where it names none.
func (f *removalForm) filters() (filters []ticketstore.SessionFilter) {
	for _, r := range f.removals() {
		filters = append(filters, ticketstore.SessionFilter{SubjectID: r.SubjectID, SessionID: r.SessionID})
	}
	return filters
}

// findTargets looks up whom the form is about, for people to see.
func (m *mount) findTargets(ctx context.Context, form *removalForm, data *removalPage) error {
	if form.All {
		return nil // everybody
	}
	for _, filter := range form.filters() {
		page, err := m.sessions.QuerySessions(ctx, ticketstore.SessionQuery{Filter: filter})
		if err != nil {
			return err
		}
		if len(page.Sessions) == 0 {
			data.Gone++
		}
		for i := range page.Sessions {
			data.offer(page.Sessions[i].Clients)
		}
		data.Targets = append(data.Targets, page.Sessions...)
		data.MoreTargets = max(page.TotalCount-len(page.Sessions), 0)
	}
	return nil
}

// maxOffered bounds the clients to choose from.
const maxOffered = 50

// offer adds clients to choose from, each once.
func (p *removalPage) offer(clients []ticketstore.ClientUse) {
	for _, client := range clients {
		id := client.ClientID
		if len(p.Clients) < maxOffered &&
			!slices.ContainsFunc(p.Clients, func(c choice) bool { return c.Value == id }) {
			p.Clients = append(p.Clients,
				choice{Value: id, Text: id, Chosen: slices.Contains(p.Form.ClientIDs, id)})
		}
	}
}

// Title is the question that the page asks.
func (p *removalPage) Title() string {
	switch {
	case p.Form.All:
		return "End all sessions?"
	case len(p.Form.SessionIDs) == 1:
		return "End this session?"
	case len(p.Form.SessionIDs) > 1:
		return "End " + plural(len(p.Targets), "session", "sessions") + "?"
	}
	return "End all of this subject?"
}

// Button is the text of the button that removes.
func (p *removalPage) Button() string {
	switch {
	case !p.Form.Session:
		return "Apply, keep the session"
	case p.Form.All:
		return "End all sessions"
	case len(p.Form.SessionIDs) == 0:
		return "End all of this subject"
	}
	return "End " + plural(len(p.Targets), "session", "sessions")
}

// Nothing reports whether no flag is set.
func (p *removalPage) Nothing() bool {
	return !p.Form.Session && !p.Form.Notify && !p.Form.Tokens && !p.Form.Consents
}
