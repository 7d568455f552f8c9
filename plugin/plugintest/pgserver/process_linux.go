package pgserver

// The processes of a server: they run as a user that is not root, and end with the test binary.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// own runs a process as the server's user, and ends it immediately when the test binary is killed.
func (s *Server) own(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if s.account != nil {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: s.account.uid, Gid: s.account.gid}
	}
}

// Kill ends all processes of the server by SIGKILL, like a crash of its machine. Begin starts it again.
func (s *Server) Kill() {
	for _, pid := range s.processes() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.ended
}

// Pause stops all processes of the server, like a machine that hangs, until Continue or the test's end.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	stopped := s.processes()
	for _, pid := range stopped {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatalf("stop process %d: %v", pid, err)
		}
	}
	t.Cleanup(s.Continue)
}

// Continue resumes the processes stopped by Pause.
func (s *Server) Continue() {
	for _, pid := range s.processes() {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

// processes returns those of the server, the first process first: once stopped or killed, it starts no
// others.
func (s *Server) processes() []int {
	first := s.process.Process.Pid
	pids := []int{first}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", first))
	for field := range strings.FieldsSeq(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// CPU returns the CPU time used by the server's processes, including ended ones, in ticks of 10 ms.
func (s *Server) CPU() (total time.Duration) {
	const tick = 10 * time.Millisecond
	for i, pid := range s.processes() {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, after, _ := strings.Cut(string(stat), ") ") // after the name: proc_pid_stat(5)
		fields := strings.Fields(after)
		if len(fields) < 15 {
			continue // it has just ended
		}
		used := fields[11:13]
		if i == 0 {
			used = fields[11:15] // the first process includes its ended children
		}
		for _, field := range used {
			ticks, _ := strconv.Atoi(field)
			total += time.Duration(ticks) * tick
		}
	}
	return total
}

// removeLeftovers removes the folders of servers whose test binary was killed.
func removeLeftovers() {
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		folders, _ := filepath.Glob(filepath.Join(parent, folderPrefix+"*"))
		for _, folder := range folders {
			maker, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(folder), folderPrefix), "-")
			pid, err := strconv.Atoi(maker)
			if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				_ = os.RemoveAll(folder)
			}
		}
	}
}
