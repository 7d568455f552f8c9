package badger

// Listings of grants that are stored and removed together, in any order.

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// After random changes in random order the index entries are correct, and each live grant is listed once.
func TestListingsAfterRandomChanges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := &changing{t: t, e: inMemory(t), random: rand.New(rand.NewPCG(seed, 1)), now: base}
			signIn(t, w.e, "sid", "ann")
			for range 150 {
				w.change()
				checkStore(t, w.e)
				w.mustListTheLive()
				if t.Failed() {
					return
				}
			}
		})
	}
}

// changing makes random changes to the grants of a few families.
type changing struct {
	t      *testing.T
	e      *Engine
	random *rand.Rand
	now    time.Time
	made   []grantstore.Ref
	n      int
}

func (w *changing) grant(kind grantstore.Type, family int) grantstore.Grant {
	w.n++
	g := familyGrant(kind, fmt.Sprint("handle", w.n))
	g.RequestID, g.Created = fmt.Sprint("family", family), w.now
	g.Expires = w.now.Add(time.Duration(1+w.random.IntN(20)) * time.Second)
	if family%2 == 0 {
		g.SessionID = "sid"
	}
	w.made = append(w.made, g.Ref)
	return g
}

func (w *changing) change() {
	family := w.random.IntN(4)
	batch := &grantstore.Batch{OperationID: fmt.Sprint("operation", w.n, w.now.UnixNano())}
	store := func(kinds ...grantstore.Type) {
		for _, kind := range kinds {
			batch.Store = append(batch.Store, w.grant(kind, family))
		}
	}
	one := func() (ref grantstore.Ref) {
		if len(w.made) > 0 {
			ref = w.made[w.random.IntN(len(w.made))]
		}
		return ref
	}
	w.now = w.now.Add(time.Duration(w.random.IntN(2)) * time.Second)
	switch ref := one(); w.random.IntN(9) {
	case 0:
		store(grantstore.AuthorizationCode, grantstore.OpenIDRequest, grantstore.PKCERequest)
	case 1:
		store(grantstore.ReferenceToken, grantstore.RefreshToken)
	case 2:
		store(grantstore.Types[w.random.IntN(5)])
	case 3, 4, 5:
		if ref.Type.Consumable() {
			batch.Consume = &grantstore.Consumption{Ref: ref, Grace: time.Duration(family) * time.Second}
		}
		store(grantstore.RefreshToken, grantstore.ReferenceToken)
	case 6:
		if ref.Type != "" {
			batch.Delete = []grantstore.Ref{ref}
		}
	case 7:
		batch.Revoke = []grantstore.Revocation{{RequestID: fmt.Sprint("family", family),
			Types: []grantstore.Type{grantstore.Types[w.random.IntN(5)]}}}
	default:
		if _, err := w.e.Grants().Purge(w.t.Context(), 100, w.now); err != nil {
			w.t.Fatal(err)
		}
	}
	_, err := w.e.Grants().Apply(w.t.Context(), batch, w.now)
	if err != nil && !errors.Is(err, grantstore.ErrConsumed) && !errors.Is(err, ticketstore.ErrNotFound) {
		w.t.Fatal(err)
	}
}

func (w *changing) mustListTheLive() {
	listed := map[grantstore.Ref]bool{}
	query := grantstore.Query{Filter: grantstore.Filter{SubjectID: "ann"}, Count: 1 + w.random.IntN(5)}
	for more := true; more; {
		page, err := w.e.Grants().Query(w.t.Context(), query, w.now)
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range page.Grants {
			ref := page.Grants[i].Ref
			if listed[ref] {
				w.t.Errorf("a %s is listed twice", ref.Type)
			}
			listed[ref] = true
		}
		query.ResultsToken, more = page.ResultsToken, page.HasNext
	}
	for _, ref := range w.made {
		if _, err := w.e.Grants().Get(w.t.Context(), ref, w.now); (err == nil) != listed[ref] {
			w.t.Errorf("a %s is listed: %t, and read with %v", ref.Type, listed[ref], err)
		}
	}
}
