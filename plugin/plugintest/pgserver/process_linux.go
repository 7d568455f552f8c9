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

// own has a process run as the server's user, and end at once when the test binary is killed.
func (s *Server) own(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if s.account != nil {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: s.account.uid, Gid: s.account.gid}
	}
}

// Kill ends all processes of the server by SIGKILL, as a crash of its machine does. Begin starts it again.
func (s *Server) Kill() {
	for _, pid := range s.processes() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.ended
}

// Pause stops all processes of the server, as a machine that hangs does, until Continue or the test's end.
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

// Continue has the processes run on that Pause stopped.
func (s *Server) Continue() {
	for _, pid := range s.processes() {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

// processes are those of the server, the first process first: stopped or killed, it starts no others.
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

// CPU is the CPU time that the server's processes have used, those included that have ended. A tick of the
// system is 10 ms.
func (s *Server) CPU() (total time.Duration) {
	const tick = 10 * time.Millisecond
	for i, pid := range s.processes() {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, after, _ := strings.Cut(string(stat), ") ") // behind the name: proc_pid_stat(5)
		fields := strings.Fields(after)
		if len(fields) < 15 {
			continue // it has just ended
		}
		used := fields[11:13]
		if i == 0 {
			used = fields[11:15] // the first process has also what its children had
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
