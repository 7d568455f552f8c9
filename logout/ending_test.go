package logout_test

// Tests of the validation of endings.

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/logout"
)

func TestEndingValidate(t *testing.T) {
	t.Parallel()
	long, many := strings.Repeat("x", 10<<10), make([]string, logout.MaxClientIDs+1)
	for i := range many {
		many[i] = fmt.Sprint("client ", i)
	}
	for name, row := range map[string]struct {
		change func(e *logout.Ending)
		field  string
	}{
		"by subject": {func(*logout.Ending) {}, ""},
		"by sid":     {func(e *logout.Ending) { e.SubjectID, e.SessionID = "", "sid" }, ""},
		"by both":    {func(e *logout.Ending) { e.SessionID = "sid" }, ""},
		"by neither": {func(e *logout.Ending) { e.SubjectID = "" }, "subject_id"},
		"all":        {func(e *logout.Ending) { e.SubjectID, e.All = "", true }, ""},
		"all, narrowed to a client": {
			func(e *logout.Ending) { e.SubjectID, e.All, e.ClientIDs = "", true, []string{"mail"} }, "",
		},
		"all and a subject": {func(e *logout.Ending) { e.All = true }, "all"},
		"all and a sid": {
			func(e *logout.Ending) { e.SubjectID, e.SessionID, e.All = "", "sid", true }, "all",
		},
		"all as expired": {
			func(e *logout.Ending) { e.SubjectID, e.All, e.Reason = "", true, logout.SessionExpiration },
			"reason",
		},
		"by clients alone": {
			func(e *logout.Ending) { e.SubjectID, e.ClientIDs = "", []string{"mail"} }, "subject_id",
		},
		"no operation id":      {func(e *logout.Ending) { e.OperationID = "" }, "operation_id"},
		"subject with a NUL":   {func(e *logout.Ending) { e.SubjectID = "\x00" }, "subject_id"},
		"sid of 10 kB":         {func(e *logout.Ending) { e.SessionID = long }, "session_id"},
		"no reason":            {func(e *logout.Ending) { e.Reason = "" }, "reason"},
		"unknown reason":       {func(e *logout.Ending) { e.Reason = "spite" }, "reason"},
		"session_expiration":   {func(e *logout.Ending) { e.Reason = logout.SessionExpiration }, ""},
		"session_replaced":     {func(e *logout.Ending) { e.Reason = logout.SessionReplaced }, ""},
		"no client but a list": {func(e *logout.Ending) { e.ClientIDs = []string{} }, "client_ids"},
		"an empty client":      {func(e *logout.Ending) { e.ClientIDs = []string{""} }, "client_ids"},
		"a client not UTF-8": {
			func(e *logout.Ending) { e.ClientIDs = []string{"mail", "\xff"} }, "client_ids",
		},
		"as many as allowed":     {func(e *logout.Ending) { e.ClientIDs = many[1:] }, ""},
		"more clients than that": {func(e *logout.Ending) { e.ClientIDs = many }, "client_ids"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ending := &logout.Ending{OperationID: "0123", SubjectID: "ann", Reason: logout.Terminated}
			row.change(ending)
			names(t, ending.Validate(), row.field)
		})
	}
}

func TestResultAdd(t *testing.T) {
	t.Parallel()
	total := logout.Result{
		SessionsRemoved: 1, GrantsRevoked: 2, ConsentsRevoked: 3, NotificationsQueued: 4,
		ClientsLeftAlone: []string{"a"},
	}
	total.Add(logout.Result{
		SessionsRemoved: 10, GrantsRevoked: 20, ConsentsRevoked: 30, NotificationsQueued: 40,
		ClientsLeftAlone: []string{"b"},
	})
	want := logout.Result{
		SessionsRemoved: 11, GrantsRevoked: 22, ConsentsRevoked: 33, NotificationsQueued: 44,
		ClientsLeftAlone: []string{"a"},
	}
	if diff := cmp.Diff(want, total); diff != "" {
		t.Errorf("the sum is not as expected (-want +got):\n%s", diff)
	}
}
