//go:build linux

package torture

// The disturbances: kills, stops, clock steps, failing syncs, full disks.

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// tormentor disturbs host and plugin.
type tormentor struct {
	*trial
	t    *testing.T
	w    *world
	v    *victim
	disk string
	// moves are the completed swaps in order.
	moves []move
	// syncs and readOnly count the disk failures that took effect.
	syncs, readOnly int
}

// run makes the configured number of disturbances, with some progress in between.
func (m *tormentor) run() {
	rare := rand.Perm(min(m.faults, 50)) // positions of the disk faults that occur once in fifty
	for i := range m.faults {
		m.w.progress(m.t, 20)
		time.Sleep(rand.N(150 * time.Millisecond))
		switch at := i % 50; {
		case m.fills && at == rare[0]:
			m.torment(diskFull)
		case m.bad != nil && at == rare[1%len(rare)]:
			m.torment(turnsReadOnly)
		case m.fills && m.traces && at == rare[2%len(rare)]:
			for before := m.syncs; m.syncs == before && !m.t.Failed(); { // the plugin may just have ended
				m.torment(syncFails)
			}
		default:
			m.torment(choose(m.weights...))
		}
	}
	m.w.progress(m.t, 50)
}

// The kinds of faults, indexes of trial.weights.
const (
	pluginKilled = iota
	hostKilled
	bothKilled
	hostStopped
	pluginHangs
	swapped
	syncFails
	diskFull
	turnsReadOnly
	hostHangs
	clockSteps
)

func (m *tormentor) torment(kind int) {
	switch kind {
	case pluginKilled:
		m.disturb(func() { kill(m.v.serving(), syscall.SIGKILL) })
	case hostKilled:
		m.disturb(func() { m.v.killHost(syscall.SIGKILL, false) })
	case bothKilled:
		m.disturb(func() { m.v.killHost(syscall.SIGKILL, true) })
	case hostStopped:
		m.disturb(func() { m.v.killHost(syscall.SIGTERM, false) })
	case pluginHangs:
		m.disturb(func() { hang(m.v.serving()) })
	case swapped:
		m.swap()
	case syncFails:
		m.disturb(func() { m.failSync(m.v.serving()) })
	case diskFull:
		if m.fills {
			m.disturb(m.fill)
		}
	case turnsReadOnly:
		if m.bad != nil {
			m.disturb(m.turnReadOnly)
		}
	case hostHangs:
		m.disturb(func() { hang(m.v.process.Process.Pid) })
	case clockSteps:
		m.disturb(m.stepClock)
	}
}

// stepClock sets the host's clock ahead or behind until the host restarts, by less than the slack.
func (m *tormentor) stepClock() {
	ahead := rand.N(m.terms.slack) - m.terms.slack/2
	if response, err := m.v.client.Post(m.v.base+"/clock?ahead="+ahead.String(), "", nil); err == nil {
		_ = response.Body.Close()
	}
}

// disturb makes a disturbance that may make calls fail, and records it in the history.
func (m *tormentor) disturb(f func()) { m.harm(m.v.base, f) }

func (m *tormentor) harm(host string, f func()) {
	start := time.Now()
	f()
	m.w.history.add(event{Kind: harm, Host: host, Start: start, End: time.Now()})
}

// fill fills the disk for a while.
func (m *tormentor) fill() {
	if err := fill(m.disk, time.Second+rand.N(2*time.Second)); err != nil {
		m.t.Errorf("filling the disk: %v", err)
	}
}

// failSync makes a sync of a plugin fail, which ends the plugin.
func (m *tormentor) failSync(pid int) {
	if pid == 0 || !m.traces {
		return
	}
	failing, err := testenv.FailSyncOf(pid)
	if err != nil {
		return // it has just ended
	}
	defer failing.Stop()
	select {
	case <-failing.Ended():
	case <-time.After(2 * time.Second): // no writes
	}
	if failing.Met() {
		m.syncs++
	}
}

// turnReadOnly makes the file system read-only for a while, which ends the plugins, and then remounts it as
// after a reboot. It returns when the host serves again.
func (m *tormentor) turnReadOnly() {
	if err := m.bad.Fail(); err != nil {
		m.t.Errorf("turning the file system read-only: %v", err)
		return
	}
	time.Sleep(rand.N(2 * time.Second))
	err := m.bad.Mend()
	for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); err = m.bad.Mend() {
		// A plugin without writes does not notice.
		m.v.ask().kill()
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		m.t.Errorf("repairing the file system: %v", err)
	}
	m.readOnly++
	m.v.awaitPlugin()
}

// hang stops a process for a while.
func hang(pid int) {
	kill(pid, syscall.SIGSTOP)
	time.Sleep(rand.N(3500 * time.Millisecond))
	kill(pid, syscall.SIGCONT)
}
