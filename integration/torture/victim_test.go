//go:build linux

package torture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// victim is a host in a process of its own, and its plugin.
type victim struct {
	t        testing.TB
	config   string
	listener *os.File
	base     string
	client   *http.Client
	temp     string // where sockets go
	// goroutines of the host, when it was asked last.
	goroutines int

	command *exec.Cmd
	exited  chan struct{}
	log     tail
}

func newVictim(t testing.TB, config hostConfig) *victim {
	t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	temp, err := os.MkdirTemp("", "tv") // short: it holds sockets
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, _ := listener.(*net.TCPListener)
	file, err := tcp.File()
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{t: t, config: string(raw), listener: file, base: "http://" + listener.Addr().String(), temp: temp}
	_ = listener.Close() // the file stays
	v.client = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	return v
}

// start starts the host and waits until it serves.
func (v *victim) start() error {
	v.command = exec.Command(os.Args[0])
	v.command.Env = append(os.Environ(), modeEnv+"=host", configEnv+"="+v.config, "TMPDIR="+v.temp)
	v.command.ExtraFiles = []*os.File{v.listener}
	v.command.Stderr, v.command.Stdout = &v.log, &v.log
	v.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := v.command.Start(); err != nil {
		return err
	}
	v.exited = make(chan struct{})
	go func(command *exec.Cmd, exited chan<- struct{}) {
		_ = command.Wait()
		close(exited)
	}(v.command, v.exited)
	answered := make(chan int, 1)
	go func() { answered <- v.pluginPID() }()
	select {
	case pid := <-answered:
		if pid >= 0 {
			return nil
		}
		return errors.New("the host does not answer")
	case <-v.exited:
		return fmt.Errorf("the host has ended: %s", v.command.ProcessState)
	}
}

// pluginPID asks the host for its plugin's process id, 0 while there is none. -1: the host does not answer.
func (v *victim) pluginPID() int {
	response, err := v.client.Get(v.base + "/plugin")
	if err != nil {
		return -1
	}
	defer func() { _ = response.Body.Close() }()
	var said struct {
		PID        int `json:"pid"`
		Goroutines int `json:"goroutines"`
	}
	if json.NewDecoder(response.Body).Decode(&said) != nil {
		return -1
	}
	v.goroutines = said.Goroutines
	return said.PID
}

// awaitPlugin returns the process id of a plugin that runs.
func (v *victim) awaitPlugin() int {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if pid := v.pluginPID(); pid > 0 {
			return pid
		}
	}
	v.t.Error("there is no plugin")
	return 0
}

// killHost kills the host, holds that its plugin ends by itself, and starts another.
func (v *victim) killHost(sent syscall.Signal, pluginToo bool) {
	pid := v.awaitPlugin()
	if pluginToo {
		kill(pid, syscall.SIGKILL)
	}
	_ = v.command.Process.Signal(sent)
	<-v.exited
	if sent == syscall.SIGTERM && !v.command.ProcessState.Success() && !pluginToo {
		v.t.Errorf("a host that was told to end ended with %s", v.command.ProcessState)
	}
	v.awaitOrphans(v.command.Process.Pid, pid)
	v.restart()
}

func (v *victim) restart() {
	deadline := time.Now().Add(patience)
	for {
		err := v.start()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			v.t.Errorf("the host does not start again: %v", err)
			return
		}
		_ = v.command.Process.Kill()
		<-v.exited
	}
}

// awaitOrphans holds that no plugin survives its host.
func (v *victim) awaitOrphans(host, plugin int) {
	for deadline := time.Now().Add(patience); runs(plugin); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			v.t.Errorf("plugin %d has outlived its host %d", plugin, host)
			return
		}
	}
}

// end stops the host in good order.
func (v *victim) end() {
	pid := v.pluginPID()
	_ = v.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-v.exited:
	case <-time.After(patience):
		v.t.Error("the host does not end")
		_ = v.command.Process.Kill()
		<-v.exited
	}
	if pid > 0 {
		v.awaitOrphans(v.command.Process.Pid, pid)
	}
	_ = v.listener.Close()
	_ = os.RemoveAll(v.temp)
	v.client.CloseIdleConnections()
}

// kill sends a signal to a process that may have gone.
func kill(pid int, sent syscall.Signal) {
	if pid > 0 {
		_ = syscall.Kill(pid, sent)
	}
}

// runs tells whether a process runs; one that is only waiting to be reaped does not.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	return !bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" Z"))
}

// tail keeps the end of what the processes wrote.
type tail struct {
	mutex sync.Mutex
	text  []byte
}

func (b *tail) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.text = append(b.text, p...)
	if extra := len(b.text) - 4<<20; extra > 0 {
		b.text = b.text[extra:]
	}
	return len(p), nil
}

// trouble returns what stands in the log that must never, with what follows it.
func (b *tail) trouble() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for _, sign := range []string{"DATA RACE", "panic: ", "damaged", "Checksum mismatch"} {
		if i := bytes.Index(b.text, []byte(sign)); i >= 0 {
			return string(b.text[i:min(len(b.text), i+4000)])
		}
	}
	return ""
}

func (b *tail) last(n int) string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return string(b.text[max(0, len(b.text)-n):])
}

// fill takes all of the disk that is left, for a while.
func fill(folder string, hold time.Duration) error {
	path := filepath.Join(folder, "filler")
	defer os.Remove(path)
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	for _, size := range []int{1 << 20, 4 << 10, 1} {
		block := []byte(strings.Repeat("x", size))
		for err = nil; err == nil; {
			_, err = file.Write(block)
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	time.Sleep(hold)
	return nil
}
