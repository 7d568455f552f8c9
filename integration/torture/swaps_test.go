//go:build linux

package torture

// Disturbed swaps.

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// move is a completed swap.
type move struct {
	job, source, target string
	// from is a time at which the source was not yet fenced, to a time at which the target served.
	from, to time.Time
}

// attempt is a requested swap, or an upgrade of the serving program.
type attempt struct {
	*tormentor
	source, target string
	upgrade        bool
	// disturbed: the processes were disturbed, or the swap was aborted.
	disturbed bool

	mutex sync.Mutex
	job   string
	from  time.Time
	// state is the job's last state, failure the reason if it failed.
	state, failure string
}

// swap swaps to the next store, or upgrades the process of the serving store, usually with a disturbance. It
// returns when the swap has ended, successfully or not.
func (m *tormentor) swap() {
	said, _ := m.v.awaitPlugin()
	a := &attempt{
		tormentor: m, source: said.Serving, target: m.nextStore(), upgrade: len(m.moves) > 0 && oneIn(5),
	}
	if a.upgrade {
		a.target = a.source
	}
	// The first swap of a run is undisturbed.
	kind := choose(3, 4, 2, 1, 2, 3, 3, 1, 1, 1, 2, 2)
	a.disturbed = len(m.moves) > 0 && kind > 0
	var watching sync.WaitGroup
	watching.Go(a.watch)
	if a.disturbed {
		time.Sleep(rand.N(400 * time.Millisecond)) // a random point, not a wait
		a.meddle(kind)
	}
	watching.Wait()
	a.settle()
}

// nextStore returns the first store that has not served yet.
func (m *tormentor) nextStore() string { return storeName(len(m.moves) + 1) }

// meddle disturbs the swap.
func (a *attempt) meddle(kind int) {
	plugin := func(store string) int {
		if said := a.v.ask(); said != nil {
			return said.Plugins[store]
		}
		return 0
	}
	switch kind {
	case 1, 2, 3:
		a.torment(kind) // the host is killed
	case 4:
		if job, _ := a.known(); job != "" {
			a.w.caller.send(http.MethodDelete, "/admin/backend/swap/"+job, "", nil, nil)
		}
	case 5:
		a.disturb(func() { kill(plugin(a.source), syscall.SIGKILL) })
	case 6:
		a.disturb(func() { kill(plugin(a.target), syscall.SIGKILL) })
	case 7:
		a.disturb(func() { hang(plugin(a.source)) })
	case 8:
		a.disturb(func() { hang(plugin(a.target)) })
	case 9:
		if a.fills {
			a.disturb(a.fill)
		}
	case 10:
		a.disturb(func() { a.failSync(plugin(a.source)) })
	case 11:
		a.disturb(func() { a.failSync(plugin(a.target)) })
	}
}

// watch requests the swap and follows it until it has ended, or is unknown to a restarted host.
func (a *attempt) watch() {
	body := map[string]any{"backend": a.target, "same_data": a.upgrade}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		start := time.Now()
		answer, _, _ := a.w.caller.send(http.MethodPost, "/admin/backend/swap", "", nil, body)
		a.mutex.Lock()
		a.from, a.job = start, answer.text("job")
		a.mutex.Unlock()
		switch {
		case answer.status == http.StatusAccepted:
			a.follow()
			return
		case answer.status == 0 && a.disturbed:
			return // the host was killed
		case time.Now().After(deadline):
			a.t.Errorf("a swap from %s to %s returned %d %s", a.source, a.target, answer.status,
				answer.raw)
			return
		}
	}
}

// follow polls the job until it has ended.
func (a *attempt) follow() {
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(3 * time.Millisecond) {
		answer, start, _ := a.w.caller.send(http.MethodGet, "/admin/jobs/"+a.job, "", nil, nil)
		a.mutex.Lock()
		a.state, a.failure = answer.text("state"), answer.text("error")
		if phase := answer.text("phase"); phase == "preparing" || phase == "copying" ||
			phase == "catching_up" {
			a.from = start
		}
		a.mutex.Unlock()
		switch {
		case a.state == "done", a.state == "failed", answer.status == http.StatusNotFound:
			return
		case time.Now().After(deadline):
			a.t.Errorf("a swap from %s to %s does not end: %d %s", a.source, a.target, answer.status,
				answer.raw)
			return
		}
	}
}

func (a *attempt) known() (job string, from time.Time) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.job, a.from
}

// settle records which store serves afterwards.
func (a *attempt) settle() {
	said, _ := a.v.awaitPlugin()
	job, from := a.known()
	switch {
	case a.state != "done" && !a.disturbed:
		a.t.Errorf("an undisturbed swap from %s to %s is %q: %s", a.source, a.target, a.state,
			a.failure)
	case a.state == "done" && said.Serving != a.target:
		a.t.Errorf("a swap from %s to %s is done, and %s serves", a.source, a.target, said.Serving)
	case said.Serving != a.source && said.Serving != a.target:
		a.t.Errorf("after a swap from %s to %s %s serves", a.source, a.target, said.Serving)
	}
	if said.Serving == a.source {
		return
	}
	a.moves = append(a.moves, move{job, a.source, a.target, from, time.Now()})
	// An operator may or may not update the configuration: if not, the host follows the chain of stores.
	if oneIn(2) {
		a.v.config.Serving = said.Serving
	}
}

// The shorter run with swaps only, all disturbed except for the first.
func TestTortureOfSwaps(t *testing.T) {
	t.Parallel()
	terms := tortureTerms
	terms.idle = time.Hour // sessions end only by calls
	swaps, users := number(t, swapsEnv, 4), number(t, usersEnv, 12)
	for from := 0; from < swaps && !t.Failed(); from += maxSwapped {
		c := trial{
			terms: terms, faults: min(maxSwapped, swaps-from), users: users, weights: []int{0, 0, 0, 0, 0, 1},
			traces: testenv.Traces(t),
		}
		c.epoch(t, t.TempDir())
		t.Logf("%d of %d swaps", min(swaps, from+maxSwapped), swaps)
	}
}

// maxSwapped is the number of swaps after which all is audited and a new store is created: each start of a
// host follows the whole chain.
const maxSwapped = 20
