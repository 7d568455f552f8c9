package rules_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

func TestSumAndProgress(t *testing.T) {
	t.Parallel()
	total := &logout.Result{
		SessionsRemoved: 1, ClientsLeftAlone: []string{"b"}, Ended: []logout.EndedSession{{SessionID: "a"}},
	}
	done := &logout.Result{
		SessionsRemoved: 2, GrantsRevoked: 3, ConsentsRevoked: 4, NotificationsQueued: 5,
		ClientsLeftAlone: []string{"c", "a", "b"},
		Ended:            []logout.EndedSession{{SessionID: "b"}},
	}
	want := &logout.Result{
		SessionsRemoved: 3, GrantsRevoked: 3, ConsentsRevoked: 4, NotificationsQueued: 5,
		ClientsLeftAlone: []string{"a", "b", "c"},
		Ended:            []logout.EndedSession{{SessionID: "a"}, {SessionID: "b"}},
	}
	job := &records.Job{Done: records.FromResult(total)}
	rules.Progress(job, done)
	if diff := cmp.Diff(want, records.ResultOf(job.Done)); diff != "" {
		t.Errorf("a job's progress (-want +got):\n%s", diff)
	}
	rules.Sum(total, done)
	if diff := cmp.Diff(want, total); diff != "" {
		t.Errorf("a sum (-want +got):\n%s", diff)
	}
	for i := range logout.MaxEnded {
		rules.Sum(total,
			&logout.Result{SessionsRemoved: 1, Ended: []logout.EndedSession{{SessionID: fmt.Sprint(i)}}})
	}
	if total.SessionsRemoved != 3+logout.MaxEnded || len(total.Ended) != logout.MaxEnded {
		t.Errorf("%d counted and %d named, want %d and %d", total.SessionsRemoved, len(total.Ended),
			3+logout.MaxEnded, logout.MaxEnded)
	}
	// The first ones are listed, whatever the order in which they are met.
	for i := range logout.MaxLeftAlone {
		left := []string{fmt.Sprintf("client-%04d", logout.MaxLeftAlone-i), "d"}
		rules.Sum(total, &logout.Result{ClientsLeftAlone: left})
	}
	last := fmt.Sprintf("client-%04d", logout.MaxLeftAlone-3)
	if left := total.ClientsLeftAlone; len(left) != logout.MaxLeftAlone || left[len(left)-1] != last {
		t.Errorf("%d clients are listed as left alone, the last %q, want %d and %q", len(left),
			left[len(left)-1], logout.MaxLeftAlone, last)
	}
}

func TestCompletedResult(t *testing.T) {
	t.Parallel()
	done := &records.EndingResult{SessionsRemoved: 1}
	for name, c := range map[string]struct {
		operation *records.Operation
		job       *records.Job
		want      *logout.Result
	}{
		"unknown": {nil, nil, nil},
		"an operation": {
			&records.Operation{Ending: done}, nil, &logout.Result{SessionsRemoved: 1},
		},
		"a job":                   {nil, &records.Job{Done: done}, &logout.Result{SessionsRemoved: 1}},
		"a running job":           {nil, &records.Job{Done: done, Phase: logout.PhasePurge}, nil},
		"an ending of all":        {nil, &records.Job{Done: done, All: true}, &logout.Result{JobID: "op"}},
		"a running ending of all": {nil, &records.Job{All: true, Phase: logout.PhaseSessions}, nil},
		"an operation of a batch": {&records.Operation{Revoked: 2}, nil, &logout.Result{}},
	} {
		if diff := cmp.Diff(c.want, rules.CompletedResult("op", c.operation, c.job)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNewJobAndFinish(t *testing.T) {
	t.Parallel()
	job := rules.NewJob(&logout.Ending{OperationID: "op", SubjectID: "alice", ClientIDs: []string{"a"}}, now)
	if job.Phase != logout.PhaseSessions || job.Now != in(0) || job.SubjectId != "alice" ||
		!slices.Equal(job.ClientIds, []string{"a"}) {
		t.Errorf("a new job: %v", job)
	}
	done := proto.CloneOf(job)
	job.Registered = []*records.Registration{{}}
	job.Cursor, job.Last, job.Error, job.ConsentsClients = []byte("c"), []byte("l"), "disk", []string{"a"}
	done.Phase = ""
	if rules.Finish(job); !proto.Equal(job, done) {
		t.Errorf("a finished job: %v, want %v", job, done)
	}
}

func TestPhaseAfter(t *testing.T) {
	t.Parallel()
	all := []string{logout.PhaseSessions, logout.PhaseSurvivors, logout.PhaseGrants, logout.PhasePurge}
	lenient := slices.Delete(slices.Clone(all), 1, 2)
	for name, c := range map[string]struct {
		ending logout.Ending
		want   []string
	}{
		"everything":              {logout.Ending{All: true}, all},
		"offline tokens are kept": {logout.Ending{KeepOffline: true}, lenient},
		"an expiry":               {logout.Ending{Reason: logout.SessionExpiration}, lenient},
		"tokens are kept":         {logout.Ending{KeepTokens: true}, lenient},
		"consents are kept":       {logout.Ending{KeepConsents: true}, all},
		"tokens and consents are kept": {
			logout.Ending{KeepTokens: true, KeepConsents: true},
			[]string{logout.PhaseSessions, logout.PhasePurge},
		},
		"one session, tokens and consents are kept": {
			logout.Ending{SessionID: "sid", KeepTokens: true, KeepConsents: true},
			lenient,
		},
	} {
		var phases []string
		for phase := logout.PhaseSessions; phase != ""; phase = rules.PhaseAfter(phase, &c.ending) {
			phases = append(phases, phase)
		}
		if !slices.Equal(phases, c.want) {
			t.Errorf("%s: %q, want %q", name, phases, c.want)
		}
	}
}

func TestRemoved(t *testing.T) {
	t.Parallel()
	var result logout.Result
	for i := range logout.MaxEnded + 2 {
		rules.Removed(&result, &records.Session{SessionId: fmt.Sprint(i), SubjectId: "alice"})
	}
	if result.SessionsRemoved != logout.MaxEnded+2 || len(result.Ended) != logout.MaxEnded ||
		result.Ended[1] != (logout.EndedSession{SessionID: "1", SubjectID: "alice"}) {
		t.Errorf("%d counted and %d named, want %d and %d; the second is %v", result.SessionsRemoved,
			len(result.Ended), logout.MaxEnded+2, logout.MaxEnded, result.Ended[1])
	}
}
