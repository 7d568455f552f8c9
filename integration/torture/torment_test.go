//go:build linux

package torture

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// tormentor does things to host and plugin.
type tormentor struct {
	*trial
	t    *testing.T
	w    *world
	v    *victim
	disk string
	// moves are the swaps that were done, in their order.
	moves []move
}

// run does as many as there are to be, with some progress between each two.
func (m *tormentor) run() {
	full := rand.IntN(m.faults) // when the disk fills, and again each fifty
	for i := range m.faults {
		m.w.progress(m.t, 20)
		time.Sleep(rand.N(150 * time.Millisecond))
		if i%50 == full%50 && m.fills {
			m.disturb(m.fill)
			continue
		}
		m.torment(choose(m.weights...))
	}
	m.w.progress(m.t, 50)
}

func (m *tormentor) torment(kind int) {
	switch kind {
	case 0:
		m.disturb(func() { kill(m.v.serving(), syscall.SIGKILL) })
	case 1:
		m.disturb(func() { m.v.killHost(syscall.SIGKILL, false) })
	case 2:
		m.disturb(func() { m.v.killHost(syscall.SIGKILL, true) })
	case 3:
		m.disturb(func() { m.v.killHost(syscall.SIGTERM, false) })
	case 4:
		m.disturb(func() { hang(m.v.serving()) })
	case 5:
		m.swap()
	}
}

// disturb does something that may have calls fail, which the history must know.
func (m *tormentor) disturb(f func()) {
	start := time.Now()
	f()
	m.w.history.add(event{Kind: harm, Start: start, End: time.Now()})
}

// fill takes all of the disk for a while.
func (m *tormentor) fill() {
	if err := fill(m.disk, time.Second+rand.N(2*time.Second)); err != nil {
		m.t.Errorf("filling the disk: %v", err)
	}
}

// hang stops a process for a while.
func hang(pid int) {
	kill(pid, syscall.SIGSTOP)
	time.Sleep(rand.N(3500 * time.Millisecond))
	kill(pid, syscall.SIGCONT)
}
