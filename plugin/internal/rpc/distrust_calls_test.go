package rpc_test

// The calls for the cases of distrust.

import (
	"context"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func plain(call func(context.Context, *rpc.Caller) error) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error { return call(context.Background(), c) }
}

func filter(subject string) ticketstore.SessionQuery {
	return ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{SubjectID: subject}}
}

func get(key ticketstore.Key) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error {
		_, err := (&rpc.Tickets{Caller: c}).Get(context.Background(), key)
		return err
	}
}

func find(id string) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error {
		_, err := (&rpc.Tickets{Caller: c}).Find(context.Background(), id)
		return err
	}
}

func renew(key ticketstore.Key) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error {
		_, err := (&rpc.Tickets{Caller: c}).Renew(context.Background(),
			ticketstore.Renewal{Key: key, Expires: now}, now)
		return err
	}
}

func rekeyTo(key ticketstore.Key) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error {
		_, err := (&rpc.Tickets{Caller: c}).Rekey(context.Background(), ticketstore.Rekey{NewKey: key}, now)
		return err
	}
}

func query(q ticketstore.SessionQuery) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error {
		_, err := (&rpc.Tickets{Caller: c}).Query(context.Background(), q)
		return err
	}
}

func getGrant(ref grantstore.Ref) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error {
		_, err := (&rpc.Grants{Caller: c}).Get(context.Background(), ref, now)
		return err
	}
}

func applyEmpty(c *rpc.Caller) error {
	return apply(&grantstore.Batch{OperationID: "o"})(context.Background(), c)
}

func property(c *rpc.Caller) error {
	_, err := (&rpc.Properties{Caller: c}).Property(context.Background(), "issuer")
	return err
}

func describe(c *rpc.Caller) error {
	_, err := c.Describe(context.Background())
	return err
}

func purge(c *rpc.Caller) error {
	_, err := (&rpc.Grants{Caller: c}).Purge(context.Background(), 10, now)
	return err
}

func endOne(c *rpc.Caller) error {
	return end(&logout.Ending{
		OperationID: "o", SubjectID: "42", Reason: logout.Terminated,
	})(context.Background(), c)
}

func endDue(c *rpc.Caller) error {
	_, err := (&rpc.Logout{Caller: c}).EndDue(context.Background(), logout.Sweep{Limit: 10}, now)
	return err
}

func claim(c *rpc.Caller) error {
	_, err := (&rpc.Logout{Caller: c}).Claim(context.Background(),
		logout.Claim{Limit: 2, PerClient: 1, Lease: time.Minute}, now)
	return err
}

func retry(id string) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error {
		_, err := (&rpc.Logout{Caller: c}).Retry(context.Background(), logout.Retry{ID: id}, now)
		return err
	}
}

func retrySome(after string) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error {
		selection := logout.Retry{Filter: logout.NotificationFilter{ClientID: "c"}, Limit: 10, After: after}
		_, err := (&rpc.Logout{Caller: c}).Retry(context.Background(), selection, now)
		return err
	}
}

func goodJob(change func(*pb.GetJobResponse)) *pb.GetJobResponse {
	m := wire.FromJob(&logout.Job{
		ID: "j", State: logout.JobRunning, Phase: logout.PhaseSessions, Started: now, Total: -1,
	})
	change(m)
	return m
}

func job(c *rpc.Caller) error {
	_, err := (&rpc.Logout{Caller: c}).Job(context.Background(), "j")
	return err
}

func endAll(c *rpc.Caller) error {
	return end(&logout.Ending{OperationID: "o", All: true, Reason: logout.Terminated})(context.Background(),
		c)
}

func remove(after []byte) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error {
		removal := grantstore.Removal{
			OperationID: "o", Filter: grantstore.Filter{ClientID: "c"}, Limit: 10, After: after,
		}
		_, err := (&rpc.Grants{Caller: c}).Remove(context.Background(), removal, now)
		return err
	}
}

// tokenOf returns a results token of a listing without filter.
func tokenOf(listing string) string {
	token, err := ticketstore.Cursor{
		Listing: listing, Order: ticketstore.Descending, Filter: []byte("{}"),
		After: ticketstore.Bound{Position: []byte("p")},
	}.Encode()
	if err != nil {
		panic(err)
	}
	return token
}

func deliveries(c *rpc.Caller) error { return deliveriesAfter("")(c) }

func deliveriesAfter(token string) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error {
		_, err := (&rpc.Logout{Caller: c}).Notifications(context.Background(),
			logout.NotificationQuery{Count: 1, ResultsToken: token})
		return err
	}
}

func grantsAfter(token string) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error {
		_, err := (&rpc.Grants{Caller: c}).Query(context.Background(), grantstore.Query{ResultsToken: token},
			now)
		return err
	}
}

func changesAfter(number uint64) func(*rpc.Caller) error {
	return func(c *rpc.Caller) error {
		_, err := (&rpc.Transfer{Caller: c}).Changes(context.Background(), "m", number, 10)
		return err
	}
}
