package pgserver

// A server: its folder and its process.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// superuser owns the cluster. It needs no password at the socket, which is in the test's own folder.
const superuser = "postgres"

// Server is a running PostgreSQL.
type Server struct {
	// Port is the port of the socket and of the loopback interface.
	Port int

	bin     string
	folder  string // of the socket; contains data
	account *account
	options []string
	log     testenv.Log
	process *exec.Cmd
	ended   chan struct{}
}

// account is the user of the server, which refuses to run as root.
type account struct{ uid, gid uint32 }

// binaries returns the folder of the newest PostgreSQL on this machine, or "".
func binaries() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		path, err := exec.LookPath("postgres")
		if err != nil {
			return ""
		}
		return filepath.Dir(path)
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }))
}

// unprivileged returns the account for a server started by root, or nil if this process is not root.
func unprivileged() (*account, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // the server runs as we do
	}
	for _, name := range []string{"postgres", "nobody"} {
		if found, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(found.Uid, 10, 32)
			gid, _ := strconv.ParseUint(found.Gid, 10, 32)
			return &account{uint32(uid), uint32(gid)}, nil
		}
	}
	return nil, errors.New("there is neither a user postgres nor nobody to run a server as")
}

// ErrNone means that the machine has no PostgreSQL.
var ErrNone = errors.New("there is no PostgreSQL")

// New starts a server for a program that is not a test, with settings such as "shared_buffers=1GB". Close
// stops it. It returns ErrNone if there are no binaries.
func New(settings ...string) (*Server, error) {
	bin := binaries()
	if bin == "" {
		return nil, ErrNone
	}
	return newServer(bin, settings)
}

// Close stops the server and removes its folder.
func (s *Server) Close() { s.remove() }

// newServer creates a cluster and starts it. options are settings, such as "fsync=off".
func newServer(bin string, options []string) (s *Server, err error) {
	removeLeftovers()
	s = &Server{bin: bin, options: options}
	if s.account, err = unprivileged(); err != nil {
		return nil, err
	}
	// The path of a socket is limited to 107 bytes.
	parent := os.TempDir()
	if len(parent) > 50 {
		parent = "/tmp"
	}
	if s.folder, err = os.MkdirTemp(parent, leftoverPrefix()+"*"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.remove()
		}
	}()
	if s.account != nil {
		if err := os.Chown(s.folder, int(s.account.uid), int(s.account.gid)); err != nil {
			return nil, err
		}
	}
	if err := s.initialize(); err != nil {
		return nil, err
	}
	return s, s.start()
}

// The name of a server's folder includes the process that created it, so that the next process removes the
// folders of killed ones.
const folderPrefix = "sessions-pg-"

func leftoverPrefix() string { return fmt.Sprintf("%s%d-", folderPrefix, os.Getpid()) }

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// initialize creates the cluster, with the superuser at the socket and passwords at the loopback interface.
func (s *Server) initialize() error {
	initdb := exec.CommandContext(context.Background(), filepath.Join(s.bin, "initdb"), "--pgdata", s.data(),
		"--username", superuser, "--encoding", "UTF8", "--locale", "C.UTF-8",
		"--no-sync", "--auth-local", "trust", "--auth-host", "scram-sha-256")
	s.own(initdb)
	initdb.Dir = s.folder
	if said, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, said)
	}
	return nil
}

// start starts the server and waits until it answers. It retries with a new port if another process took the
// port meanwhile.
func (s *Server) start() error {
	for attempt := 1; ; attempt++ {
		if s.Port == 0 {
			if err := s.choosePort(); err != nil {
				return err
			}
		}
		err := s.launch()
		if err == nil || attempt == 5 || !strings.Contains(s.log.String(), "could not bind") {
			return err
		}
		s.Port = 0
	}
}

func (s *Server) choosePort() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it only asks for a free port
	if err != nil {
		return err
	}
	s.Port = listener.Addr().(*net.TCPAddr).Port
	return listener.Close()
}

func (s *Server) launch() error {
	args := []string{
		"-D", s.data(), "-k", s.folder, "-p", strconv.Itoa(s.Port),
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=on", "-c", "synchronous_commit=on",
		"-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "logging_collector=off",
	}
	for _, option := range s.options {
		args = append(args, "-c", option)
	}
	s.process = exec.Command(filepath.Join(s.bin, "postgres"), args...) //nolint:noctx // Stop ends it
	s.own(s.process)
	s.process.Dir, s.process.Stdout, s.process.Stderr = s.folder, &s.log, &s.log
	if err := s.process.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	go func(process *exec.Cmd, ended chan struct{}) {
		_ = process.Wait()
		close(ended)
	}(s.process, s.ended)
	return s.await()
}

// await waits until the server accepts connections.
func (s *Server) await() error {
	deadline := time.NewTimer(testenv.Patience)
	defer deadline.Stop()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		connection, err := pgx.Connect(ctx, s.DSN(superuser))
		if err == nil {
			err = connection.Close(ctx)
			cancel()
			return err
		}
		cancel()
		select {
		case <-s.ended:
			return fmt.Errorf("the server has ended: %v\n%s", s.process.ProcessState, s.log.String())
		case <-deadline.C:
			return fmt.Errorf("the server takes no connections: %w\n%s", err, s.log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// DSN returns a DSN with the socket and a user, who needs no password there. The database is "postgres".
func (s *Server) DSN(user string) string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=postgres", s.folder, s.Port, user)
}

// Loopback returns a DSN with the loopback interface, where a password is required. On a busy machine its
// proof may take longer than the usual timeout.
func (s *Server) Loopback(user, password string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/postgres?connect_timeout=%d", user, password, s.Port,
		int(testenv.Patience.Seconds()))
}

// Folder returns the folder with the server's socket and its files, in "data".
func (s *Server) Folder() string { return s.folder }

// Superuser returns the DSN of the superuser.
func (s *Server) Superuser() string { return s.DSN(superuser) }

// Log returns the server's log.
func (s *Server) Log() string { return s.log.String() }

// Bin returns the folder of the server's programs, such as pg_waldump.
func (s *Server) Bin() string { return s.bin }

// stop stops the server, by the given signal.
func (s *Server) stop(signal syscall.Signal) {
	_ = s.process.Process.Signal(signal)
	select {
	case <-s.ended:
	case <-time.After(testenv.Patience):
		_ = s.process.Process.Kill()
		<-s.ended
	}
}

func (s *Server) remove() {
	if s.process != nil && s.process.Process != nil {
		s.stop(syscall.SIGQUIT)
	}
	_ = os.RemoveAll(s.folder)
}
