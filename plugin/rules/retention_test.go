package rules_test

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

func TestGrantDueAndRetention(t *testing.T) {
	t.Parallel()
	const grace = time.Minute
	used := func(since time.Duration, grace uint64, expires int64) *records.Grant {
		return &records.Grant{Consumed: in(-since), Used: 1 + grace, Expires: expires}
	}
	for name, c := range map[string]struct {
		grant     *records.Grant
		due       int64
		retention rules.Retention
	}{
		"without Expires":          {&records.Grant{}, 0, rules.Kept},
		"before its Expires":       {&records.Grant{Expires: in(1)}, in(1), rules.Kept},
		"at its Expires":           {&records.Grant{Expires: in(0)}, in(0), rules.Deleted},
		"used, until its Expires":  {used(time.Hour, 0, in(1)), in(1), rules.Kept},
		"used, at its Expires":     {used(time.Hour, 0, in(0)), in(0), rules.Deleted},
		"within its grace":         {used(grace, uint64(grace), in(time.Hour)), in(1), rules.Kept},
		"after its grace":          {used(grace+1, uint64(grace), in(time.Hour)), in(0), rules.Reduced},
		"expired within its grace": {used(0, uint64(grace), in(0)), in(0), rules.Deleted},
		"used, without Expires": {
			used(time.Hour, 0, 0), in(grantstore.ConsumedRetention - time.Hour), rules.Kept,
		},
		"used long ago, without Expires": {used(grantstore.ConsumedRetention, 0, 0), in(0), rules.Deleted},
		"with an unlimited grace":        {used(0, math.MaxInt64, in(time.Hour)), in(time.Hour), rules.Kept},
		"used by a former release": {
			&records.Grant{Consumed: in(0), Expires: in(time.Hour)}, in(time.Hour), rules.Reduced,
		},
	} {
		if due := rules.GrantDue(c.grant); due != c.due {
			t.Errorf("%s: due %s, want %s", name, records.Moment(due), records.Moment(c.due))
		}
		if retention := rules.RetentionOf(c.grant, now); retention != c.retention {
			t.Errorf("%s: retention %d, want %d", name, retention, c.retention)
		}
	}
}

func TestReduce(t *testing.T) {
	t.Parallel()
	former := func(since time.Duration) *records.Grant {
		g := whole()
		g.Consumed = in(-since)
		return g
	}
	for name, c := range map[string]struct {
		grant *records.Grant
		grace time.Duration
	}{
		"its grace is over":                    {rules.Used(whole(), time.Minute, in(-time.Hour)), 0},
		"of a former release":                  {former(rules.FormerGrace), rules.FormerGrace},
		"of a former release, after its grace": {former(rules.FormerGrace + 1), 0},
	} {
		want := rules.Used(c.grant, c.grace, c.grant.GetConsumed())
		if got := rules.Reduce(c.grant, now); !proto.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestJobDueAndEndedDue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		job         *records.Job
		due         int64
		dated, over bool
	}{
		"running":             {&records.Job{Phase: logout.PhaseGrants}, 0, false, false},
		"done without a time": {&records.Job{}, math.MinInt64, true, false},
		"done recently":       {&records.Job{Finished: in(1 - logout.JobRetention)}, in(1), false, false},
		"done long ago":       {&records.Job{Finished: in(-logout.JobRetention)}, in(0), false, true},
	} {
		if due := rules.JobDue(c.job); due != c.due {
			t.Errorf("%s: due %s, want %s", name, records.Moment(due), records.Moment(c.due))
		}
		dated, over := rules.DateJob(c.job, now)
		if dated != c.dated || over != c.over || (dated && c.job.Finished != in(0)) {
			t.Errorf("%s: dated %t, over %t, %v", name, dated, over, c.job)
		}
	}
	if due := rules.EndedDue(&records.Ended{When: in(0)}); due != in(24*time.Hour) {
		t.Errorf("an ended record is due at %s", records.Moment(due))
	}
}

func TestDueOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		record proto.Message
		want   int64
	}{
		"a session":                {&records.Session{Expires: in(2), EndsAt: in(1)}, in(1)},
		"an ended record":          {&records.Ended{When: in(0)}, in(rules.EndedRetention)},
		"a grant":                  {&records.Grant{Expires: in(1)}, in(1)},
		"a grant without Expires":  {&records.Grant{}, 0},
		"used by a former release": {&records.Grant{Consumed: in(0), Expires: in(1)}, math.MinInt64},
		"an operation":             {&records.Operation{When: in(0)}, in(grantstore.OperationRetention)},
		"a job":                    {&records.Job{Finished: in(0)}, in(logout.JobRetention)},
		"a pending notification":   {&records.Notification{Due: in(1)}, 0},
		"a settled notification":   {&records.Notification{PurgeAt: in(1)}, in(1)},
		"a client's row":           {&records.ClientUse{}, 0},
		"a property":               {&records.Property{}, 0},
	} {
		if got := rules.DueOf(c.record); got != c.want {
			t.Errorf("%s: %s, want %s", name, records.Moment(got), records.Moment(c.want))
		}
	}
}

func TestEarlier(t *testing.T) {
	t.Parallel()
	later := now.Add(1)
	if rules.Earlier(now, later) != now || rules.Earlier(later, now) != now ||
		rules.Earlier(time.Time{}, now) != now {
		t.Error("Earlier does not return the earlier time")
	}
}
