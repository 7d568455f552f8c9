//go:build linux

package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// smallDiskEnv names a folder to mount a small disk on: set by the test itself, in a mount namespace of its own.
const smallDiskEnv = "SESSIONS_SMALL_DISK"

// A disk that fills up under the new store ends the swap, and the old store goes on as it was.
func TestSwapToAFullDisk(t *testing.T) {
	disk := os.Getenv(smallDiskEnv)
	if disk == "" {
		t.Parallel()
		inNamespace(t, t.TempDir())
		return
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("small", disk, "tmpfs", 0, "size=12m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	adapter := pluginHost(t, "old", map[string]plugin.Config{
		"old": badgerConfig(t), "new": patient(binary(t, "sessions-badger"), badger.Settings{Path: filepath.Join(disk, "new"), MinFreeMiB: 1}),
	})
	tickets, now := adapter.Backend().Tickets(), time.Now().UTC()
	const sessions = 400 // of 64 KiB each
	session := func(i int) *ticketstore.Session {
		sid := fmt.Sprintf("sid-%d", i)
		return &ticketstore.Session{
			Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "ann", Issuer: "https://op.example", AuthTime: now, Created: now,
			Renewed: now, Expires: now.Add(time.Hour), Ticket: make([]byte, ticketstore.MaxTicket),
		}
	}
	for i := range sessions {
		if err := tickets.Create(t.Context(), session(i)); err != nil {
			t.Fatal(err)
		}
	}
	id, err := adapter.Operations().Swap(t.Context(), "new")
	if err != nil {
		t.Fatal(err)
	}
	state, err := adapter.Operations().SwapByID(id)
	for deadline := time.Now().Add(3 * time.Minute); err == nil && state.Finished.IsZero() && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
		state, err = adapter.Operations().SwapByID(id)
	}
	if err != nil || state.Err == nil || state.Progress.Phase != transfer.Failed || adapter.Operations().BackendName() != "old" {
		t.Fatalf("the swap %+v, error %v, %s serves: want it failed", state, err, adapter.Operations().BackendName())
	}
	if !errors.Is(state.Err, ticketstore.ErrNoSpace) {
		t.Errorf("the swap failed: %v, want ErrNoSpace", state.Err)
	}
	t.Logf("the swap failed after %s: %.300s", state.Finished.Sub(state.Started), state.Err)
	for i := range sessions {
		got, err := tickets.Get(t.Context(), session(i).Key)
		if err != nil || len(got.Ticket) != ticketstore.MaxTicket {
			t.Fatalf("session %d: %v", i, err)
		}
	}
	if err := tickets.Create(t.Context(), session(sessions)); err != nil {
		t.Errorf("sign in after the swap: %v", err)
	}
}

// inNamespace runs the test once more where it may mount a disk, which goes when its last process does.
func inNamespace(t *testing.T, disk string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSwapToAFullDisk$", "-test.v", "-test.timeout=5m")
	command.Env = append(os.Environ(), smallDiskEnv+"="+disk)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	output, err := command.CombinedOutput()
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC) {
		t.Log("no small disk can be had here: no disk was filled")
		return
	}
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	t.Logf("%s", output)
}
