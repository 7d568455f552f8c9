//go:build linux

package torture

// The disturbed processes, and their restarts.

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// victim is a host process and its plugins.
type victim struct {
	t        testing.TB
	config   hostConfig
	listener *os.File
	base     string
	client   *http.Client
	temp     string // folder of sockets
	process  *testenv.Process
	log      *hostLog
}

func newVictim(t testing.TB, history *history, config hostConfig) *victim {
	t.Helper()
	temp, err := os.MkdirTemp("", "tv") // short: a socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, _ := listener.(*net.TCPListener)
	file, err := tcp.File()
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{
		t: t, config: config, listener: file, base: "http://" + listener.Addr().String(), temp: temp,
		log: &hostLog{history: history},
	}
	_ = listener.Close() // the file stays
	v.client = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	return v
}

// start starts the host and waits until it serves.
func (v *victim) start() error {
	raw, err := json.Marshal(v.config)
	if err != nil {
		return err
	}
	command := testenv.Self(v.t, "", modeEnv+"=host", configEnv+"="+string(raw), "TMPDIR="+v.temp)
	command.ExtraFiles = []*os.File{v.listener}
	command.Stderr, command.Stdout = v.log, v.log
	v.process = testenv.Start(v.t, command)
	answered := make(chan *processes, 1)
	go func() { answered <- v.ask() }()
	select {
	case said := <-answered:
		if said != nil {
			return nil
		}
		return errors.New("the host does not answer")
	case <-v.process.Ended():
		return fmt.Errorf("the host has ended: %s", v.process.ProcessState)
	}
}

// ask returns the host's report on its processes, or nil if it does not answer.
func (v *victim) ask() *processes {
	response, err := v.client.Get(v.base + "/plugin")
	if err != nil {
		return nil
	}
	defer func() { _ = response.Body.Close() }()
	said := &processes{}
	if json.NewDecoder(response.Body).Decode(said) != nil {
		return nil
	}
	return said
}

// all returns the process ids of the plugins.
func (said *processes) all() (pids []int) {
	if said != nil {
		for _, pid := range said.Plugins {
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill kills the plugins.
func (said *processes) kill() {
	for _, pid := range said.all() {
		kill(pid, syscall.SIGKILL)
	}
}

// serving returns the process id of the serving plugin, or 0 if there is none.
func (v *victim) serving() int {
	if said := v.ask(); said != nil {
		return said.Plugins[said.Serving]
	}
	return 0
}

// awaitPlugin waits until the serving plugin runs, and returns the processes and its process id.
func (v *victim) awaitPlugin() (said *processes, pid int) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if said = v.ask(); said != nil && said.Plugins[said.Serving] > 0 {
			return said, said.Plugins[said.Serving]
		}
	}
	v.t.Error("there is no plugin")
	return &processes{}, 0
}

// killHost kills the host, checks that its plugins end by themselves, and restarts it.
func (v *victim) killHost(sent syscall.Signal, pluginsToo bool) {
	said, _ := v.awaitPlugin()
	if pluginsToo {
		said.kill()
	}
	_ = v.process.Process.Signal(sent)
	<-v.process.Ended()
	if sent == syscall.SIGTERM && !v.process.ProcessState.Success() && !pluginsToo {
		v.t.Errorf("a host ended with %s after its signal", v.process.ProcessState)
	}
	v.awaitOrphans(said)
	v.restart()
}

// killAll kills the host with its plugins, without a restart.
func (v *victim) killAll() {
	said, _ := v.awaitPlugin()
	said.kill()
	v.process.Kill()
	v.awaitOrphans(said)
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
		v.process.Kill()
	}
}

// awaitOrphans checks that no plugin survives its host.
func (v *victim) awaitOrphans(said *processes) {
	for _, plugin := range said.Plugins {
		for deadline := time.Now().Add(patience); testenv.Runs(plugin); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				v.t.Errorf("plugin %d has outlived its host %d", plugin, v.process.Process.Pid)
				return
			}
		}
	}
}

// end stops the host gracefully.
func (v *victim) end() {
	said := v.ask()
	_ = v.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-v.process.Ended():
	case <-time.After(patience):
		v.t.Error("the host does not end")
		v.process.Kill()
	}
	if said != nil {
		v.awaitOrphans(said)
	}
	_ = v.listener.Close()
	v.client.CloseIdleConnections()
}

// kill sends a signal to a process that may have ended.
func kill(pid int, sent syscall.Signal) {
	if pid > 0 {
		_ = syscall.Kill(pid, sent)
	}
}

// fill fills the rest of the disk for a while.
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
