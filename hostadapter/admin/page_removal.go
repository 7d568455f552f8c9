package admin

// The preview and the execution of a removal.

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

// maxSelected bounds the sessions that one form can end.
const maxSelected = 100

// removalForm is the operator's selection: named sessions, or all sessions of a subject.
type removalForm struct {
	SubjectID  string
	SessionIDs []string
	// All selects every session. Sure reports whether the operator has confirmed that.
	All, Sure bool
	// ClientIDs limits which clients' tokens and consents are revoked and which clients are notified. Empty
	// means every client.
	ClientIDs []string
	// The flags, named as in JSON.
	Session, Notify, Tokens, Consents bool
	Reason                            string
	// Preview counts again without removing anything.
	Preview bool
	// Stale reports that the options have changed since the preview, which is then shown again instead of
	// removing.
	Stale bool
}

// removalFlags are the form's names of the flags. Browsers do not send unticked ones.
var removalFlags = []string{
	"remove_server_side_session", "send_backchannel_logout_notification", "revoke_tokens", "revoke_consents",
}

// readRemoval reads a form, or the query of the link to the form, in which all flags default to true.
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

// Options identifies all that the preview depends on besides the selected sessions: flags and clients.
func (f *removalForm) Options() string {
	values := url.Values{"client_id": slices.Sorted(slices.Values(f.ClientIDs))}
	for i, flag := range []bool{f.Session, f.Notify, f.Tokens, f.Consents} {
		values.Set(removalFlags[i], strconv.FormatBool(flag))
	}
	sum := sha256.Sum256([]byte(values.Encode()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// removals returns the removals that the form selects, one per session.
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

// removalPage is the data of the page that previews a removal, and of the page with its result.
type removalPage struct {
	Form removalForm
	// Targets are the selected sessions; MoreTargets is how many are not shown.
	Targets     []ticketstore.SessionDetail
	MoreTargets int
	// Clients are the clients that the removal can be limited to: those of the targets and those in the form.
	Clients []choice
	// Gone counts selected sessions that are no longer live.
	Gone   int
	Result logout.Result
	// Problem is why a removal of several sessions stopped; Left is how many were not processed.
	Problem string
	Left    int
}

// removalPage previews the removal or executes it, and shows the counts.
func (m *mount) removalPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	first := r.Method != http.MethodPost
	// Refuse an unparsable query: ignoring it would select more sessions than were named.
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
			p := m.problemFor(w, r, err)
			status, data.Problem, data.Left = p.status, p.detail, len(form.SessionIDs)-i
			break
		}
		if result.JobID != "" {
			record.startedJob(result.JobID)
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
	if data.Problem == "" { // redirect, so that reloading the page does not remove again
		seeOther(w, "removed?"+data.outcome().Encode())
		return nil
	}
	return m.show(w, r, record, status, "removed",
		view{Title: "Not completed", Section: "sessions", Data: data})
}

// filters returns the filters that select the form's sessions: one without conditions if none are named.
func (f *removalForm) filters() (filters []ticketstore.SessionFilter) {
	for _, r := range f.removals() {
		filters = append(filters, ticketstore.SessionFilter{SubjectID: r.SubjectID, SessionID: r.SessionID})
	}
	return filters
}

// findTargets looks up the selected sessions, to show them.
func (m *mount) findTargets(ctx context.Context, form *removalForm, data *removalPage) error {
	if form.All {
		return nil // all sessions
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
			data.addClients(page.Sessions[i].Clients)
		}
		data.Targets = append(data.Targets, page.Sessions...)
		data.MoreTargets = max(page.TotalCount-len(page.Sessions), 0)
	}
	return nil
}

// maxOffered bounds the clients offered.
const maxOffered = 50

// addClients adds clients to the choices, without duplicates.
func (p *removalPage) addClients(clients []ticketstore.ClientUse) {
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

// Button is the label of the button that removes.
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
