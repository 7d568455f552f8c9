package plugin

// Diagnosis of a binary that the system cannot execute.

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// Exit codes of shells and dynamic loaders for a missing file and for a file that is not executable.
const (
	exitNotExecutable = 126
	exitMissing       = 127
)

// maxShebang bounds the first line of a script, as Linux does.
const maxShebang = 256

var errNoExec = errors.New(
	"it is on a file system that is mounted noexec: move it, or mount that without noexec")

// explainExec returns why the system cannot execute an existing binary. The system reports a missing file or
// permission even if the file's interpreter or loader is at fault.
func explainExec(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("cannot be started: %w (it must be a binary for %s/%s)",
			err, runtime.GOOS, runtime.GOARCH)
	case errors.Is(err, fs.ErrPermission) && onNoExec(path):
		return errNoExec
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		kind, interpreter := interpreterOf(path)
		if interpreter == "" {
			break
		}
		remedy := "install it, or correct the first line"
		if kind == "dynamic loader" {
			remedy = "install the C library that the binary was built for, or build it with CGO_ENABLED=0"
		}
		switch _, lookErr := os.Stat(interpreter); {
		case errors.Is(lookErr, fs.ErrNotExist):
			return fmt.Errorf("cannot be started: its %s, %q, does not exist: %s", kind, interpreter, remedy)
		case errors.Is(err, fs.ErrPermission):
			return fmt.Errorf("cannot be started: its %s, %q, may not be executed: %s", kind, interpreter,
				remedy)
		}
	}
	return fmt.Errorf("cannot be started: %w", err)
}

// interpreterOf returns the program that the system starts for the file: the interpreter in a script's first
// line, or the loader of a dynamically linked binary. It returns "" if there is none.
func interpreterOf(path string) (kind, interpreter string) {
	file, err := os.Open(path)
	if err != nil {
		return "", ""
	}
	defer file.Close()
	line, _ := bufio.NewReader(io.LimitReader(file, maxShebang)).ReadString('\n')
	if command, script := strings.CutPrefix(line, "#!"); script {
		// The system takes a trailing carriage return as part of the name.
		interpreter, _, _ = strings.Cut(strings.Trim(command, " \t\n"), " ")
		return "interpreter", interpreter
	}
	binary, err := elf.NewFile(file)
	if err != nil {
		return "", ""
	}
	for _, part := range binary.Progs {
		if part.Type == elf.PT_INTERP {
			name, _ := io.ReadAll(io.LimitReader(part.Open(), maxShebang))
			return "dynamic loader", string(bytes.TrimRight(name, "\x00"))
		}
	}
	return "", ""
}

// exitReason explains an exit before the handshake.
func (p *process) exitReason() string {
	var exit *exec.ExitError
	switch {
	case !errors.As(p.err, &exit):
		return "it is no session plugin"
	case exit.ExitCode() == exitMissing:
		return "a program or library that it needs is missing"
	case exit.ExitCode() == exitNotExecutable:
		return "a program that it needs may not be executed"
	case exit.ExitCode() < 0:
		return "a signal ended it"
	}
	return "it is no session plugin"
}
